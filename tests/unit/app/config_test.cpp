#include "insula/app/config.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace insula::app {
namespace {

struct config_file {
    explicit config_file(const std::string& text)
        : path(std::filesystem::temp_directory_path() /
               ("insula_config_" + std::to_string(::getpid()) + ".toml")) {
        std::ofstream(path) << text;
    }
    ~config_file() { std::filesystem::remove(path); }
    std::filesystem::path path;
};

std::string refused(const config_sources& sources) {
    const auto loaded = load_config(sources);
    return loaded ? "accepted" : std::string(loaded.error().internal());
}

TEST(config, flag_beats_environment_beats_file_beats_default) {
    const config_file file("workers = 1\ncells = 2\nthreads = 3\n");
    config_sources sources;
    sources.file = file.path;
    sources.environment = {"INSULA_WORKERS=5", "INSULA_CELLS=6", "HOME=/root"};
    sources.flags = {{"workers", "9"}};
    const auto loaded = load_config(sources);
    ASSERT_TRUE(loaded) << loaded.error().describe();
    EXPECT_EQ(loaded->workers, 9U);
    EXPECT_EQ(loaded->cells, 6);
    EXPECT_EQ(loaded->threads, 3U);
    EXPECT_EQ(loaded->database_connections, 48U);
}

TEST(config, unknown_keys_are_errors_that_name_the_nearest) {
    const config_file file("databse_url = \"x\"\n");
    EXPECT_NE(refused({.file = file.path}).find("did you mean database_url"), std::string::npos);
    EXPECT_NE(refused({.environment = {"INSULA_WORKER=1"}}).find("INSULA_WORKER"),
              std::string::npos);
    EXPECT_EQ(refused({.environment = {"INSULA_TEST_POSTGRES=/x:1", "INSULA_FAULT=a:1:kill"}}),
              "accepted");
}

TEST(config, every_wrong_value_is_refused_with_what_would_be_right) {
    for (const auto* entry :
         {"INSULA_WORKERS=-1", "INSULA_WORKERS=many", "INSULA_WORKERS=", "INSULA_CELLS=0",
          "INSULA_CELLS=257", "INSULA_RUNTIME=kqueue", "INSULA_MAIL=pigeon",
          "INSULA_SMTP_TLS=maybe", "INSULA_TASK_HISTORY=59m", "INSULA_RATE_LIMIT=perhaps",
          "INSULA_LOG=loud", "INSULA_SHUTDOWN_GRACE=30", "INSULA_PUBLIC_URL=ftp://x",
          "INSULA_LISTEN=,", "INSULA_DATABASE_CONNECTIONS=7", "INSULA_PASSWORD_PASSES=0",
          "INSULA_PASSWORD_MEMORY=0", "INSULA_PASSWORD_MEMORY=4096",
          "INSULA_PASSWORD_MEMORY=19MiB"}) {
        const auto text = refused({.environment = {entry}});
        EXPECT_NE(text, "accepted") << entry;
        EXPECT_NE(text.find("must be"), std::string::npos) << text;
    }
}

TEST(config, the_file_may_hold_lists_rates_and_limits) {
    const config_file file(
        "cors_origins = [\"https://a.example\", \"https://b.example\"]\n"
        "[rate_limit]\nlogin = \"10/s burst 20\"\n"
        "[http]\nbody_bytes_max = 4096\nheader_timeout = \"5s\"\n");
    const auto loaded = load_config({.file = file.path});
    ASSERT_TRUE(loaded) << loaded.error().describe();
    EXPECT_EQ(loaded->cors_origins.size(), 2U);
    EXPECT_EQ(loaded->rates.at("login"), "10/s burst 20");
    EXPECT_EQ(loaded->http_limits.body_bytes_max, 4096U);
    EXPECT_EQ(loaded->http_limits.header_timeout, std::chrono::seconds(5));
    const config_file wrong("[http]\nbody_bytes = 4096\n");
    EXPECT_NE(refused({.file = wrong.path}).find("no key body_bytes"), std::string::npos);
}

TEST(config, a_broken_file_says_where) {
    const config_file file("workers = \n");
    EXPECT_NE(refused({.file = file.path}).find("line 1"), std::string::npos);
}

TEST(config, secrets_are_redacted_in_print) {
    config values;
    values.database_url = "postgresql://u:hunter2@h/db";
    values.key_encryption_key = "c2VjcmV0";
    values.smtp_url = "smtp://mailer:hunter3@mail.example.org";
    const auto text = print_config(values);
    EXPECT_EQ(text.find("hunter2"), std::string::npos);
    EXPECT_EQ(text.find("hunter3"), std::string::npos);
    EXPECT_EQ(text.find("c2VjcmV0"), std::string::npos);
    EXPECT_NE(text.find("key_encryption_key = \"(redacted)\""), std::string::npos);
}

TEST(config, the_cost_of_passwords_is_printed) {
    const auto loaded =
        load_config({.environment = {"INSULA_PASSWORD_PASSES=3", "INSULA_PASSWORD_MEMORY=64"}});
    ASSERT_TRUE(loaded) << loaded.error().describe();
    const auto text = print_config(*loaded);
    EXPECT_NE(text.find("password_passes = \"3\"\n"), std::string::npos) << text;
    EXPECT_NE(text.find("password_memory = \"64\"\n"), std::string::npos) << text;
    EXPECT_NE(print_config(config()).find("password_memory = \"19\"\n"), std::string::npos);
}

TEST(config, the_key_must_be_32_bytes_of_base64) {
    config values;
    EXPECT_NE(values.key().error().internal().find("openssl rand -base64 32"),
              std::string_view::npos);
    values.key_encryption_key = "AAAA";
    EXPECT_FALSE(values.key());
    values.key_encryption_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    EXPECT_TRUE(values.key());
}

TEST(config, durations_have_units) {
    EXPECT_EQ(parse_duration("30s"), std::chrono::seconds(30));
    EXPECT_EQ(parse_duration("15m"), std::chrono::minutes(15));
    EXPECT_EQ(parse_duration("7d"), std::chrono::hours(168));
    for (const auto* bad : {"", "s", "10", "-1s", "1w", "1 s", "99999999999s"}) {
        EXPECT_FALSE(parse_duration(bad)) << bad;
    }
}

}  // namespace
}  // namespace insula::app
