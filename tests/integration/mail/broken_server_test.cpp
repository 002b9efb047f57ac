// Servers that hang, cut off or turn away. Whatever they do: an answer in time, nothing else held
// up, and an end when the process wants to end.
#include "mail_line.hpp"

using namespace insula;
using namespace insula::mail;
using namespace insula::mail::test_support;
using testing::HasSubstr;
using clock_type = std::chrono::steady_clock;

namespace {

struct ending {
    const char* mode;
    outcome what;
    const char* reason;
};

}  // namespace

TEST(smtp_broken, every_way_to_fail_has_its_meaning_and_comes_back_in_time) {
    for (const auto& [mode, what, reason] :
         {ending{"silent", outcome::deferred, "at the greeting"},
          ending{"hang", outcome::deferred, "at the content"},
          ending{"reset", outcome::deferred, "at the content"},
          ending{"half", outcome::deferred, "at the content"},
          ending{"closed", outcome::deferred, "421 4.3.2 closing down"},
          ending{"unwanted", outcome::deferred, "554 5.7.1 we take no mail from you"},
          ending{"refuse_hang", outcome::rejected, "550 5.1.1 no such user here"}}) {
        SCOPED_TRACE(mode);
        const auto server = mail_server::broken(mode);
        mail_line line(server.url());
        auto mail = example("run-1", "alice@example.com", std::string(100'000, 'x'));
        const auto begun = clock_type::now();
        const auto done = line.send(std::move(mail), 1s);
        EXPECT_LT(clock_type::now() - begun, 3s);
        EXPECT_EQ(done.what, what) << done.reason;
        EXPECT_THAT(done.reason, HasSubstr(reason));
    }
}

TEST(smtp_broken, nobody_there) {
    int port = 0;
    {
        const auto gone = mail_server::broken("silent");
        port = gone.port();
    }
    mail_line line("smtp://127.0.0.1:" + std::to_string(port));
    EXPECT_EQ(line.send(example("run-1")).what, outcome::deferred);
    mail_line nameless("smtp://nobody.invalid:25");
    EXPECT_EQ(nameless.send(example("run-1"), 5s).what, outcome::deferred);
}

TEST(smtp_broken, a_repeat_after_an_unknown_end_is_the_same_mail) {
    const auto server = mail_server::broken("hang_once");
    mail_line line(server.url());
    EXPECT_EQ(line.send(example("run-1"), 500ms).what, outcome::deferred);
    EXPECT_TRUE(line.send(example("run-1")).ok());
    EXPECT_EQ(server.count("content"), 2U);
    EXPECT_EQ(to_text(example("run-1")), to_text(example("run-1")));
}

TEST(smtp_broken, a_connection_that_the_server_has_closed_costs_no_try) {
    auto server = mail_server::broken("leaves");
    mail_line line(server.url(), {.smtp = {.deliveries_max = 1}});
    for (int i = 1; i <= 3; ++i) {
        const auto done = line.send(example("run-" + std::to_string(i)));
        EXPECT_TRUE(done.ok()) << done.reason;
        server.wait_for_line("left " + std::to_string(i));
    }
    EXPECT_EQ(server.count("connection"), 3U);
}

TEST(smtp_broken, while_the_server_hangs_one_mail_tries_and_the_loop_stays_free) {
    auto server = mail_server::broken("silent");
    mail_line line(server.url(), {.smtp = {.deliveries_max = 3, .patience = 300ms}});
    std::vector<std::future<delivery>> stuck;
    for (int i = 0; i < 3; ++i) {
        stuck.push_back(line.begin(example("run-" + std::to_string(i)), 2s));
    }
    // They wait for a thread, though not for long.
    for (const auto* key : {"waiting", "waiting-too"}) {
        const auto begun = clock_type::now();
        EXPECT_EQ(line.send(example(key)).what, outcome::deferred);
        EXPECT_LT(clock_type::now() - begun, 1s);
    }
    // And by now the server is known to hang: those that come are not kept at all.
    for (int i = 0; i < 50; ++i) {
        const auto asked = clock_type::now();
        const auto refused = line.send(example("late-" + std::to_string(i)));
        EXPECT_EQ(refused.what, outcome::deferred);
        EXPECT_THAT(refused.reason, HasSubstr("in trouble"));
        EXPECT_LT(clock_type::now() - asked, 200ms);
        EXPECT_LT(line.answers_in(), 200ms) << "somebody blocks the loop";
    }
    EXPECT_EQ(server.count("connection"), 3U);
    for (auto& one : stuck) {
        EXPECT_EQ(one.get().what, outcome::deferred);
    }
    // Afterwards one at a time tries it.
    auto probe = line.begin(example("probe"), 1s);
    server.wait_for_line("connection 4");
    EXPECT_THAT(line.send(example("second")).reason, HasSubstr("in trouble"));
    EXPECT_EQ(probe.get().what, outcome::deferred);
    EXPECT_EQ(server.count("connection"), 4U);
}

TEST(smtp_broken, a_server_that_comes_back_is_used_by_all_again) {
    const auto server = mail_server::broken("hang_once");
    mail_line line(server.url(), {.smtp = {.deliveries_max = 2, .patience = 200ms}});
    EXPECT_EQ(line.send(example("run-1"), 500ms).what, outcome::deferred);
    EXPECT_TRUE(line.send(example("run-1")).ok());
    auto one = line.begin(example("run-2"));
    auto two = line.begin(example("run-3"));
    EXPECT_TRUE(one.get().ok());
    EXPECT_TRUE(two.get().ok());
}

TEST(smtp_broken, closing_ends_what_hangs_at_the_given_time_and_takes_nothing_new) {
    auto server = mail_server::broken("hang");
    mail_line line(server.url());
    auto hanging = line.begin(example("run-1"), 60s);
    server.wait_for_line("content 1");
    const auto begun = clock_type::now();
    line.transport().close(runtime::deadline::after(500ms));
    EXPECT_THAT(line.send(example("run-2")).reason, HasSubstr("shutting down"));
    EXPECT_EQ(hanging.get().what, outcome::deferred);
    EXPECT_GE(clock_type::now() - begun, 500ms) << "it had that long";
    EXPECT_LT(clock_type::now() - begun, 3s);
}

TEST(smtp_broken, the_end_waits_for_no_server) {
    for (const auto* mode : {"silent", "hang", "no_quit", "refuse_hang"}) {
        SCOPED_TRACE(mode);
        auto server = mail_server::broken(mode);
        mail_line line(server.url());
        auto one = line.begin(example("run-1"), 60s);
        server.wait_for_line("connection 1");
        if (std::string_view(mode) == "no_quit") {
            EXPECT_TRUE(one.get().ok());  // now a connection is kept, and QUIT will be said on it
        }
        const auto begun = clock_type::now();
        line.transport().close(runtime::deadline::after(0s));
        if (one.valid()) {
            EXPECT_FALSE(one.get().ok());
        }
        line.drop();
        EXPECT_LT(clock_type::now() - begun, 3s);
    }
}
