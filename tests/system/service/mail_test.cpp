// Mail over SMTP, from a registration to what a mail server received, and what an operator sees
// when the server refuses, hangs, or is not there.
#include "deployment.hpp"
#include "support/mail_server.hpp"

#include <csignal>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

environment smtp_to(const std::string& url) {
    return {{"INSULA_MAIL", "smtp"},
            {"INSULA_SMTP_URL", url},
            {"INSULA_MAIL_FROM", "Insula <no-reply@insula.test>"}};
}

class system_mail : public testing::Test {
protected:
    static deployment& where() {
        static deployment one;
        return one;
    }

    /// The registration's status address.
    static std::string register_at(const served& service, const std::string& slug,
                                   const std::string& email) {
        auto client = service.client();
        const auto accepted =
            post_json(client, "/api/v1/auth/register", registration_form(slug, email));
        EXPECT_EQ(accepted.status, 202) << accepted.text();
        return std::string(*accepted.field("Location"));
    }
    static std::string status_of(const served& service, const std::string& location) {
        auto client = service.client();
        return text_of(parse(get(client, location + "?wait=30")), "/status");
    }
    /// Of the newest mail task: "state code", state 4 is done and 5 failed; empty while it lives.
    static std::string end_of_mail() {
        const auto rows = where().database().query_admin(
            "select h.state || ' ' || coalesce(h.error_code, '') from queue.history h"
            " where h.kind = 'mail.send' and h.id = (select max(id::text)::uuid from"
            "   (select id from queue.run where kind = 'mail.send'"
            "    union all select id from queue.history where kind = 'mail.send') newest)");
        return rows.empty() ? "" : rows.front().front();
    }
    static void expect_quick_end(served& service, std::chrono::seconds limit) {
        const auto begun = std::chrono::steady_clock::now();
        service.process().signal(SIGTERM);
        EXPECT_EQ(service.process().wait(limit + 10s), 0);
        EXPECT_LT(std::chrono::steady_clock::now() - begun, limit);
    }
};

TEST_F(system_mail, a_registrant_gets_the_mail_and_its_link_works) {
    const auto server = mail_server::working({"--login", "ada:hunter2/@"});
    served service(where().variables_with(smtp_to(server.url("ada:hunter2%2F%40@"))));
    const auto slug = where().fresh_slug("mailed");
    EXPECT_EQ(status_of(service, register_at(service, slug, slug + "@example.org")), "ready");
    const auto mail = server.wait_for(1).front();
    EXPECT_EQ(mail.from, "no-reply@insula.test");
    EXPECT_EQ(mail.to, slug + "@example.org");
    EXPECT_EQ(mail.login, "ada");
    EXPECT_THAT(mail.text, HasSubstr("From: Insula <no-reply@insula.test>\r\n"));
    EXPECT_THAT(mail.text, HasSubstr("https://insula.test/verify-email?token="));
    auto client = service.client();
    EXPECT_EQ(post_json(client, "/api/v1/auth/verify-email", {{"token", mail.token()}}).status,
              200);
    wait_until("the task to end", [] { return end_of_mail() == "4 "; });
    EXPECT_EQ(metric_sum(client, "insula_mail_total", "result=\"sent\""), 1);
    expect_quick_end(service, 10s);
    EXPECT_EQ(server.mails().size(), 1U);
    const auto log = service.process().out() + service.process().err();
    EXPECT_THAT(log, Not(HasSubstr("hunter2")));
    EXPECT_THAT(log, Not(HasSubstr(mail.token())));
}

TEST_F(system_mail, refused_mail_is_a_failed_task_that_says_why) {
    const auto server = mail_server::working();
    served service(where().variables_with(smtp_to(server.url())));
    const auto location =
        register_at(service, where().fresh_slug("refused"), "refused@example.org");
    EXPECT_EQ(status_of(service, location), "ready") << "the tenant is there all the same";
    wait_until("the task to fail", [] { return end_of_mail() == "5 mail_rejected"; });
    EXPECT_THAT(service.process().wait_for_line("mail rejected", 10s),
                HasSubstr("550 5.1.1 [mailbox] no such user here"))
        << "whose mailbox it is, is for operators and not for the log";
    EXPECT_EQ(where().database().value_admin(
                  "select count(*) from queue.history where error_internal like"
                  " '%<refused@example.org>: no such user here%'"),
              "1");
    auto client = service.client();
    EXPECT_EQ(metric_sum(client, "insula_mail_total", "result=\"rejected\""), 1);
    EXPECT_TRUE(server.mails().empty());

    // One that quotes the mail: no token, neither in the log nor in what operators read.
    (void)register_at(service, where().fresh_slug("quoting"), "quoting@example.org");
    wait_until("the second to fail",
               [&] { return metric_sum(client, "insula_mail_total", "result=\"rejected\"") == 2; });
    EXPECT_THAT(service.process().wait_for_line("we take no mail", 10s), HasSubstr("[link]"));
    EXPECT_EQ(where().database().value_admin(
                  "select count(*) from queue.history where error_internal like '%token=%'"),
              "0");
    EXPECT_THAT(service.process().out() + service.process().err(), Not(HasSubstr("@example.org")));

    // Its login is made by another process, whose mail goes to files: not before all is sent.
    const auto listed =
        get(client, "/api/v1/admin/tasks?kind=mail.send&status=failed", where().operator_auth());
    EXPECT_EQ(listed.status, 200) << listed.text();
    EXPECT_THAT(listed.body, HasSubstr("mail_rejected"));
    where().stop_server();
}

TEST_F(system_mail, mail_deferred_by_the_server_arrives_later) {
    const auto server = mail_server::working();
    served service(where().variables_with(smtp_to(server.url())));
    (void)register_at(service, where().fresh_slug("later"), "greylisted@example.org");
    EXPECT_EQ(server.wait_for(1).front().to, "greylisted@example.org");
    EXPECT_EQ(server.count("greylisted"), 1U);
    auto client = service.client();
    EXPECT_EQ(metric_sum(client, "insula_mail_total", "result=\"deferred\""), 1);
}

TEST_F(system_mail, G51_a_crash_between_sending_and_noting_it_repeats_the_very_same_mail) {
    // The repeat is begun when the lease of the killed process is over, 10 s later.
    const auto server = mail_server::working();
    auto variables = where().variables_with(smtp_to(server.url()));
    variables["INSULA_FAULT"] = "mail.after_send:1:kill";
    const auto slug = where().fresh_slug("twice");
    {
        served dying(variables);
        (void)register_at(dying, slug, slug + "@example.org");
        EXPECT_EQ(dying.process().wait(30s), -SIGKILL);
    }
    ASSERT_EQ(server.mails().size(), 1U) << "it was sent before the process died";
    served next(where().variables_with(smtp_to(server.url())));
    const auto mails = server.wait_for(2, 40s);
    EXPECT_EQ(mails[0].text, mails[1].text) << "byte by byte, and so with one Message-ID";
    EXPECT_THAT(mails[0].text, HasSubstr("\r\nMessage-ID: <"));
    EXPECT_EQ(mails[0].to, mails[1].to);
    wait_until("the task to end", [] { return end_of_mail() == "4 "; });
}

TEST_F(system_mail, a_server_that_hangs_delays_nobody_and_not_the_end) {
    const auto server = mail_server::broken("silent");
    auto variables = where().variables_with(smtp_to(server.url()));
    variables["INSULA_SHUTDOWN_GRACE"] = "10s";
    served service(variables);
    std::vector<std::string> locations;
    for (int i = 0; i < 8; ++i) {
        const auto slug = where().fresh_slug("hanging");
        locations.push_back(register_at(service, slug, slug + "@example.org"));
    }
    wait_until("a mail to hang", [&] { return server.count("connection") > 0; });
    const auto begun = std::chrono::steady_clock::now();
    for (const auto& location : locations) {
        EXPECT_EQ(status_of(service, location), "ready");
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 8s) << "a mail takes its 10 s to fail";
    auto client = service.client();
    for (int i = 0; i < 20; ++i) {
        const auto asked = std::chrono::steady_clock::now();
        EXPECT_EQ(get(client, "/readyz").status, 200);
        EXPECT_LT(std::chrono::steady_clock::now() - asked, 1s);
    }
    expect_quick_end(service, 10s);
    // Nothing is lost: another process with a server that works delivers all of them.
    const auto good = mail_server::working();
    served next(where().variables_with(smtp_to(good.url())));
    (void)good.wait_for(8, 60s);
}

TEST_F(system_mail, doctor_tells_whether_mail_can_be_delivered) {
    const auto server = mail_server::working({"--login", "u:p"});
    const auto right = run_insula({"doctor"}, where().variables_with(smtp_to(server.url("u:p@"))));
    EXPECT_EQ(right.code, 0) << right.out;
    EXPECT_THAT(right.out, HasSubstr("with a login: answers"));
    const auto wrong =
        run_insula({"doctor"}, where().variables_with(smtp_to(server.url("u:hunter2@"))));
    EXPECT_EQ(wrong.code, 1) << wrong.out;
    EXPECT_THAT(wrong.out, HasSubstr("refuses the login"));
    EXPECT_THAT(wrong.out, Not(HasSubstr("hunter2")));
    const auto absent =
        run_insula({"doctor"}, where().variables_with(smtp_to("smtp://127.0.0.1:1")));
    EXPECT_EQ(absent.code, 1) << absent.out;
    const auto files = run_insula({"doctor"}, where().variables());
    EXPECT_THAT(files.out, HasSubstr("files in " + where().mail_folder()));
    auto unwritable = where().variables();
    unwritable["INSULA_MAIL_DIR"] = "/proc/mail";
    const auto stuck = run_insula({"doctor"}, unwritable);
    EXPECT_EQ(stuck.code, 1) << stuck.out;
    EXPECT_THAT(stuck.out, HasSubstr("/proc/mail"));
}

TEST_F(system_mail, a_wrong_configuration_is_told_at_start) {
    const auto refused = [](environment variables) {
        const auto command = run_insula({"serve"}, where().variables_with(variables));
        EXPECT_EQ(command.code, 3) << command.err;
        EXPECT_THAT(command.err, Not(HasSubstr("hunter2")));
        return command.err;
    };
    EXPECT_THAT(refused({{"INSULA_MAIL", "smtp"}}), HasSubstr("INSULA_SMTP_URL"));
    EXPECT_THAT(refused(smtp_to("smtp://u:hunter2@mail.example.org:x")), HasSubstr("smtp_url"));
    EXPECT_THAT(refused({{"INSULA_MAIL", "smtp"}, {"INSULA_SMTP_URL", "smtp://mail.example.org"}}),
                HasSubstr("INSULA_MAIL_FROM"));
    auto clear = smtp_to("smtp://u:hunter2@mail.example.org");
    clear["INSULA_SMTP_TLS"] = "off";
    EXPECT_THAT(refused(clear), HasSubstr("in the clear"));
}

}  // namespace
}  // namespace insula::test
