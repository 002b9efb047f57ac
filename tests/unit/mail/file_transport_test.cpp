#include "insula/mail/file_transport.hpp"

#include "insula/observe/metrics.hpp"
#include "insula/runtime/loop.hpp"

#include <boost/asio/co_spawn.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

using namespace insula;
using namespace insula::mail;

namespace {

class temporary_folder {
public:
    temporary_folder() {
        std::string name = (std::filesystem::temp_directory_path() / "insula_mail_XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~temporary_folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

message example(const std::string& key) {
    message mail;
    mail.key = message_key::parse(key).value();
    mail.from = mailbox::parse("Insula <no-reply@example.org>").value();
    mail.to = {"", email_address::parse("alice@example.com").value()};
    mail.subject = "Hello";
    mail.body = "https://example.org/verify-email?token=abc\n";
    mail.date = timestamp(std::chrono::seconds(1'700'000'000));
    return mail;
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

unsigned mode_of(const std::filesystem::path& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 0777;
}

}  // namespace

TEST(file_transport, writes_one_private_file_named_by_the_key) {
    const temporary_folder root;
    const auto folder = root.path() / "data" / "mail";
    ASSERT_TRUE(write_mail_file(folder, example("run-1")));
    EXPECT_EQ(names_in(folder), (std::vector<std::string>{"run-1.eml"}));
    EXPECT_EQ(read(folder / "run-1.eml"), to_text(example("run-1")));
    EXPECT_EQ(mode_of(folder / "run-1.eml"), 0600U) << "it holds a token";
    EXPECT_EQ(mode_of(folder), 0700U);
}

TEST(file_transport, a_repeat_leaves_one_file) {
    const temporary_folder root;
    ASSERT_TRUE(write_mail_file(root.path(), example("run-1")));
    const auto written = std::filesystem::last_write_time(root.path() / "run-1.eml");
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(write_mail_file(root.path(), example("run-1")));
    }
    EXPECT_EQ(names_in(root.path()), (std::vector<std::string>{"run-1.eml"}));
    EXPECT_EQ(std::filesystem::last_write_time(root.path() / "run-1.eml"), written);
    ASSERT_TRUE(write_mail_file(root.path(), example("run-2")));
    EXPECT_EQ(names_in(root.path()).size(), 2U);
}

TEST(file_transport, racing_deliveries_of_one_mail_leave_one_whole_file) {
    const temporary_folder root;
    std::atomic<int> failures{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back(
                [&] { failures += write_mail_file(root.path(), example("run-1")) ? 0 : 1; });
        }
    }
    EXPECT_EQ(failures, 0);
    EXPECT_EQ(names_in(root.path()), (std::vector<std::string>{"run-1.eml"}));
    EXPECT_EQ(read(root.path() / "run-1.eml"), to_text(example("run-1")));
}

TEST(file_transport, what_goes_wrong_may_be_tried_again_and_leaves_nothing) {
    const temporary_folder root;
    std::ofstream(root.path() / "occupied") << "a file";
    const auto refused = write_mail_file(root.path() / "occupied", example("run-1"));
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error() == errc::overloaded);
    EXPECT_NE(refused.error().internal().find("occupied"), std::string_view::npos);
    EXPECT_EQ(refused.error().detail().find("occupied"), std::string_view::npos)
        << "paths are ours";
    std::filesystem::remove(root.path() / "occupied");
    ASSERT_TRUE(write_mail_file(root.path() / "occupied", example("run-1")));
    EXPECT_EQ(names_in(root.path() / "occupied"), (std::vector<std::string>{"run-1.eml"}));
}

TEST(file_transport, what_is_no_file_does_not_count_as_delivered) {
    const temporary_folder root;
    std::filesystem::create_directory(root.path() / "run-1.eml");
    EXPECT_FALSE(write_mail_file(root.path(), example("run-1")));
    std::filesystem::remove(root.path() / "run-1.eml");
    std::filesystem::create_symlink("/etc/hostname", root.path() / "run-1.eml");
    EXPECT_FALSE(write_mail_file(root.path(), example("run-1")));
    EXPECT_EQ(names_in(root.path()), (std::vector<std::string>{"run-1.eml"}))
        << "nothing left behind";
}

TEST(file_transport, an_empty_message_is_a_bug_that_no_retry_helps) {
    const temporary_folder root;
    const auto refused = write_mail_file(root.path(), message{});
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error() == errc::internal);
}

TEST(file_transport, a_folder_is_checked_without_a_trace) {
    const temporary_folder root;
    EXPECT_TRUE(check_mail_folder(root.path()));
    EXPECT_TRUE(check_mail_folder(root.path() / "data" / "mail"));
    EXPECT_TRUE(names_in(root.path()).empty());
    std::ofstream(root.path() / "occupied") << "a file";
    EXPECT_FALSE(check_mail_folder(root.path() / "occupied"));
    EXPECT_FALSE(check_mail_folder(root.path() / "occupied" / "mail"));
    EXPECT_FALSE(check_mail_folder("/proc/mail"));
}

namespace {

runtime::awaitable<void> send_twice(file_transport& to, runtime::loop& home, int& delivered) {
    for (int i = 0; i < 2; ++i) {
        const auto sent = co_await to.send(example("run-1"), runtime::deadline::never());
        EXPECT_TRUE(sent.ok()) << sent.reason;
        EXPECT_TRUE(home.runs_here()) << "resumed on the caller's loop";
        delivered += sent.ok() ? 1 : 0;
    }
    home.stop();
}

}  // namespace

TEST(file_transport, sends_from_a_loop_through_the_pool) {
    const temporary_folder root;
    runtime::loop_options options;
    options.kind = runtime::backend::epoll;
    const auto home = runtime::make_loop(options).value();
    runtime::cpu_pool pool(1, 4);
    observe::metrics counts;
    file_transport to(root.path() / "mail", pool, counts);
    int delivered = 0;
    boost::asio::co_spawn(home->get_executor(), send_twice(to, *home, delivered),
                          [](std::exception_ptr failure) { EXPECT_FALSE(failure); });
    home->run();
    EXPECT_EQ(delivered, 2);
    EXPECT_NE(counts.serialize().find("insula_mail_total{result=\"sent\"} 2"), std::string::npos);
    EXPECT_EQ(names_in(root.path() / "mail"), (std::vector<std::string>{"run-1.eml"}));
}
