// `insula dev`: everything in one data directory, whatever ended it before.
#include "deployment.hpp"

#include <sys/types.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

namespace fs = std::filesystem;

constexpr auto start_limit = 120s;
constexpr auto stop_limit = 60s;

std::string read_file(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// The postmaster of a data directory, 0 when none has been started.
pid_t postmaster_of(const std::string& data) {
    std::ifstream in(data + "/postgres/cluster/postmaster.pid");
    pid_t number = 0;
    in >> number;
    return number;
}

/// A process and all below it.
void collect_tree(pid_t of, std::set<pid_t>& all) {
    all.insert(of);
    const auto number = std::to_string(of);
    std::ifstream in("/proc/" + number + "/task/" + number + "/children");
    for (pid_t child = 0; in >> child;) {
        collect_tree(child, all);
    }
}

bool is_postgres(pid_t process) {
    return read_file("/proc/" + std::to_string(process) + "/comm").starts_with("postgres");
}

class running_dev {
public:
    explicit running_dev(const std::string& data, const std::string& listen = "127.0.0.1:0")
        : data_(data),
          process_(insula_binary(), {"dev", "--data-dir", data, "--listen", listen}, {}) {
        const std::string line = process_.wait_for_line("Insula is ready at http://", start_limit);
        const auto at = line.find("http://") + 7;
        address_ = line.substr(at, line.find(' ', at) - at);
        collect_tree(postmaster_of(data), servers_);
    }
    /// A failed test leaves no server behind: only its own insula ends it.
    ~running_dev() {
        if (process_.running()) {
            process_.signal(SIGTERM);
            try {
                process_.wait(stop_limit);
            } catch (const std::exception& e) {
                ADD_FAILURE() << e.what();
            }
        }
    }

    const std::string& address() const { return address_; }
    child_process& process() { return process_; }
    http_client client() const { return http_client(address_); }
    std::string url() const { return "http://" + address_; }

    /// The servers of its PostgreSQL, the forked ones included, that still run.
    std::set<pid_t> left() const {
        std::set<pid_t> some;
        for (const auto one : servers_) {
            if (is_postgres(one)) {
                some.insert(one);
            }
        }
        return some;
    }
    std::size_t servers() const { return servers_.size(); }

    void expect_clean_end(int signal_number) {
        process_.signal(signal_number);
        EXPECT_EQ(process_.wait(stop_limit), 0) << process_.err();
        EXPECT_TRUE(left().empty()) << "PostgreSQL was left behind";
        EXPECT_FALSE(fs::exists(data_ + "/postgres/cluster/postmaster.pid"));
    }

private:
    std::string data_;
    child_process process_;
    std::string address_;
    std::set<pid_t> servers_;
};

/// One data directory for those that begin and end cleanly: its cluster is made once.
class system_dev : public testing::Test {
protected:
    static void SetUpTestSuite() { folder_ = std::make_unique<temporary_folder>(); }
    static void TearDownTestSuite() { folder_.reset(); }
    static std::string data() { return folder_->path() + "/data"; }
    static std::string other_data() { return folder_->path() + "/other"; }

    static inline std::unique_ptr<temporary_folder> folder_;
};

TEST_F(system_dev, G53_ends_with_its_postgresql_on_either_signal) {
    for (const int signal_number : {SIGTERM, SIGINT}) {
        running_dev dev(data());
        EXPECT_GT(dev.servers(), 3U) << "no PostgreSQL was seen, so none can be missed";
        auto client = dev.client();
        EXPECT_EQ(get(client, "/readyz").status, 200);
        dev.expect_clean_end(signal_number);
    }
}

TEST_F(system_dev, survives_being_killed) {
    std::string location;
    {
        running_dev dev(data());
        auto client = dev.client();
        const auto accepted = post_json(client, "/api/v1/auth/register",
                                        registration_form("survivor", "survivor@example.org"));
        ASSERT_EQ(accepted.status, 202) << accepted.text();
        location = *accepted.field("Location");
        EXPECT_EQ(text_of(parse(get(client, location + "?wait=30")), "/status"), "ready");
        dev.process().signal(SIGKILL);
        EXPECT_EQ(dev.process().wait(10s), -SIGKILL);
    }
    running_dev dev(data());
    auto client = dev.client();
    EXPECT_EQ(text_of(parse(get(client, location)), "/status"), "ready") << "the tenant is gone";
    EXPECT_TRUE(is_problem(post_json(client, "/api/v1/auth/register",
                                     registration_form("survivor", "other@example.org")),
                           409, "slug_taken"));
    dev.expect_clean_end(SIGTERM);
}

TEST_F(system_dev, killed_while_it_starts_for_the_first_time) {
    const auto fresh = folder_->path() + "/fresh";
    {
        child_process first(insula_binary(),
                            {"dev", "--data-dir", fresh, "--listen", "127.0.0.1:0"}, {});
        first.wait_for_line("Creating a private PostgreSQL", start_limit);
        first.signal(SIGKILL);
        first.wait(10s);
    }
    running_dev dev(fresh);
    auto client = dev.client();
    EXPECT_EQ(get(client, "/readyz").status, 200);
    dev.expect_clean_end(SIGTERM);
}

TEST_F(system_dev, a_second_instance_is_refused_with_a_sentence) {
    running_dev dev(data());
    const auto same_data = run_insula({"dev", "--data-dir", data(), "--listen", "127.0.0.1:0"}, {});
    EXPECT_EQ(same_data.code, 1) << same_data.err;
    EXPECT_THAT(same_data.err, HasSubstr("in use by another insula"));
    EXPECT_THAT(same_data.err, HasSubstr(std::to_string(dev.process().pid())));
    const auto same_address =
        run_insula({"dev", "--data-dir", other_data(), "--listen", dev.address()}, {});
    EXPECT_EQ(same_address.code, 1) << same_address.err;
    EXPECT_THAT(same_address.err, HasSubstr(dev.address()));
    EXPECT_EQ(postmaster_of(other_data()), 0);
    auto client = dev.client();
    EXPECT_EQ(get(client, "/readyz").status, 200) << "the first one was disturbed";
    dev.expect_clean_end(SIGINT);
}

TEST_F(system_dev, other_commands_work_on_its_database_with_its_settings) {
    running_dev dev(data());
    const std::string file = data() + "/settings.toml";
    EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600));
    const auto made = run_insula(
        {"operator", "create", "--email", "op@example.org", "--config", file}, {}, good_password);
    EXPECT_EQ(made.code, 0) << made.err;
    const auto listed = run_insula({"tenant", "list", "--json", "--config", file}, {});
    EXPECT_EQ(listed.code, 0) << listed.err;
    const auto checked = run_insula({"migrate", "--check", "--config", file}, {});
    EXPECT_EQ(checked.code, 0) << checked.err;
    EXPECT_THAT(read_file(file), HasSubstr("mail_dir = \"" + data() + "/mail\""))
        << "else another process writes its mails to wherever it was started";
    dev.expect_clean_end(SIGTERM);
}

TEST_F(system_dev, wrong_configuration) {
    const auto database =
        run_insula({"dev", "--data-dir", other_data()}, {{"INSULA_DATABASE_URL", "dbname=x"}});
    EXPECT_EQ(database.code, 3) << database.err;
    EXPECT_EQ(run_insula({"dev", "--data-dir", other_data(), "--listen", "nonsense"}, {}).code, 1);
    std::ofstream(folder_->path() + "/file") << "x";
    const auto file =
        run_insula({"dev", "--data-dir", folder_->path() + "/file", "--listen", "127.0.0.1:0"}, {});
    EXPECT_EQ(file.code, 1) << file.err;
    EXPECT_THAT(file.err, HasSubstr("--data-dir"));
}

std::string mails_of(const std::string& folder) {
    std::string all;
    std::error_code none_yet;
    for (const auto& file : fs::directory_iterator(folder, none_yet)) {
        all += file.path().extension() == ".eml" ? read_file(file.path()) : "";
    }
    return all;
}

TEST_F(system_dev, the_mails_links_open_pages_that_post_their_token) {
    running_dev dev(data());
    auto client = dev.client();
    for (const auto& [address, posts_to] : {std::pair{"/verify-email", "/auth/verify-email"},
                                            {"/reset-password", "/auth/reset-password"},
                                            {"/accept-invite", "/invites/accept"}}) {
        const auto page = get(client, std::string(address) + "?token=abc");
        EXPECT_EQ(page.status, 200) << page.text();
        EXPECT_TRUE(page.field("Content-Type").value_or("").starts_with("text/html"));
        EXPECT_THAT(page.body, HasSubstr(std::string("'/api/v1") + posts_to + "'"));
        EXPECT_EQ(page.body.find("abc"), std::string::npos)
            << "the address is repeated in the page";
        EXPECT_THAT(page.body, HasSubstr("The link is not complete"));
        EXPECT_EQ(page.body.find("POST /"), std::string::npos) << "the reader is a person";
    }
    EXPECT_THAT(get(client, "/accept-invite").body, HasSubstr("body.tenant.slug"));
    // The port was chosen by the kernel: tokens and mails name the one that it is.
    EXPECT_EQ(text_of(parse(get(client, "/.well-known/openid-configuration")), "/issuer"),
              dev.url());
    ASSERT_EQ(post_json(client, "/api/v1/auth/register",
                        registration_form("linked", "linked@example.org"))
                  .status,
              202);
    std::string mails;
    wait_until("a mail with a link to where it runs", [&] {
        mails = mails_of(data() + "/mail");
        return mails.find("<linked@example.org>") != std::string::npos;
    });
    EXPECT_THAT(mails, HasSubstr("\r\n" + dev.url() + "/verify-email?token="));
    dev.expect_clean_end(SIGTERM);
}

/// The shell blocks between <!-- tour --> and <!-- /tour -->, in order, as one script.
std::string tour_script() {
    std::ifstream in(INSULA_README);
    std::string script;
    bool in_tour = false;
    bool in_block = false;
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("<!-- tour -->") || line.starts_with("<!-- /tour -->")) {
            in_tour = line.starts_with("<!-- tour");
        } else if (line.starts_with("```")) {
            in_block = !in_block && in_tour && line.size() > 3;
        } else if (in_block) {
            script += line + "\n";
        }
    }
    return script;
}

TEST_F(system_dev, G50_the_tour_of_the_README_works_as_written) {
    const auto script = tour_script();
    ASSERT_GE(std::ranges::count(script, '\n'), 6)
        << "no tour between <!-- tour --> and <!-- /tour --> in " << INSULA_README;
    const auto fresh = folder_->path() + "/tour";
    running_dev dev(fresh);
    child_process tour("/bin/bash", {"-euo", "pipefail", "-c", script},
                       {{"URL", dev.url()}, {"DATA", fresh}});
    EXPECT_EQ(tour.wait(120s), 0) << script << "\nprinted:\n" << tour.out() << tour.err();
    // No step of it was refused, whatever curl's exit code says of that, but the one that shows a
    // removed member's token refused.
    const auto refused = tour.out().find("urn:insula:problem:");
    ASSERT_NE(refused, std::string::npos) << tour.out();
    EXPECT_TRUE(tour.out().substr(refused).starts_with("urn:insula:problem:invalid_token"))
        << tour.out();
    EXPECT_EQ(tour.out().find("urn:insula:problem:", refused + 1), std::string::npos) << tour.out();
    // It lists the tenant's own projects: what was made.
    const auto printed = tour.out();
    const auto begin = printed.find("{\"items\":");
    ASSERT_NE(begin, std::string::npos) << printed;
    const auto list = json::parse(printed.substr(begin, printed.find('\n', begin) - begin));
    EXPECT_EQ(list.at("items").as_array().size(), 1U) << printed;
    // Deleted and taken back, it still holds that.
    const auto deleted = printed.find("\"status\":\"pending_deletion\"", begin);
    ASSERT_NE(deleted, std::string::npos) << printed;
    const auto later = printed.find("{\"items\":", deleted);
    ASSERT_NE(later, std::string::npos) << printed;
    EXPECT_EQ(printed.substr(later, printed.find('\n', later) - later),
              printed.substr(begin, printed.find('\n', begin) - begin));
    EXPECT_THAT(printed, HasSubstr("\"status\":\"ready\""));
    EXPECT_THAT(printed, HasSubstr("\"verified\":true"));
    dev.expect_clean_end(SIGTERM);
}

}  // namespace
}  // namespace insula::test
