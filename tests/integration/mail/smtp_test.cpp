// A server that works: what arrives is what was built, and nobody else reads it.
#include "mail_line.hpp"

#include <random>
#include <set>

using namespace insula;
using namespace insula::mail;
using namespace insula::mail::test_support;
using testing::HasSubstr;

namespace {

/// Has "." on lines of its own, at the beginnings of lines, and across whatever buffers there are.
std::string dotted_body(std::size_t lines) {
    std::mt19937 random(7);
    std::string body = ".\n..\n.hidden\n...three\n\n. \n.\n";
    for (std::size_t i = 0; i < lines; ++i) {
        body += std::string(random() % 4, '.') + std::string(random() % 60, 'x') +
                std::string(random() % 3, '.') + "\n";
    }
    return body + ".\n.\n";
}

void expect_delivered(mail_line& line, const mail_server& server, const message& mail) {
    const auto before = server.mails().size();
    const auto done = line.send(mail);
    ASSERT_TRUE(done.ok()) << done.reason;
    EXPECT_EQ(server.wait_for(before + 1).back().text, to_text(mail));
}

}  // namespace

TEST(smtp, what_arrives_is_what_was_built_in_the_right_envelope) {
    const auto server = mail_server::working();
    mail_line line(server.url());
    const auto mail = example("run-1");
    const auto done = line.send(mail);
    ASSERT_TRUE(done.ok()) << done.reason;
    const auto arrived = server.wait_for(1).front();
    EXPECT_EQ(arrived.text, to_text(mail));
    EXPECT_EQ(arrived.from, "no-reply@example.org");
    EXPECT_EQ(arrived.to, "alice@example.com");
    EXPECT_EQ(arrived.name, "example.org") << "EHLO: the sender's domain";
    EXPECT_EQ(arrived.options, "SIZE=" + std::to_string(to_text(mail).size()));
    EXPECT_EQ(line.count("sent"), 1);
}

TEST(smtp, EHLO_may_be_named_in_the_url) {
    const auto server = mail_server::working();
    mail_line line(server.url() + "/api.insula.test");
    ASSERT_TRUE(line.send(example("run-1")).ok());
    EXPECT_EQ(server.wait_for(1).front().name, "api.insula.test");
}

TEST(smtp, dots_long_lines_and_other_scripts_arrive_unchanged) {
    const auto server = mail_server::working();
    mail_line line(server.url());
    expect_delivered(line, server, example("dots", "alice@example.com", dotted_body(20)));
    // More than one of libcurl's buffers, of 64 KiB.
    expect_delivered(line, server, example("many-dots", "alice@example.com", dotted_body(9'000)));
    expect_delivered(line, server,
                     example("long", "alice@example.com", std::string(5'000, '.') + "\n"));
    expect_delivered(line, server,
                     example("greek", "alice@example.com", "Καλημέρα κόσμε\n.\n..τέλος\n"));
    expect_delivered(line, server, example("no-end", "alice@example.com", "no line end, then ."));
    expect_delivered(line, server, example("empty", "alice@example.com", ""));
}

TEST(smtp, nothing_a_user_typed_adds_a_header_a_command_or_a_receiver) {
    const auto server = mail_server::working();
    mail_line line(server.url());
    auto mail =
        example("run-1", "alice@example.com",
                "Hello\r\n.\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<eve@example.org>\r\n"
                "DATA\r\nyou lost\r\n.\r\nQUIT\n");
    mail.to.name = "Alice\r\nBcc: eve@example.org\r\n\r\n.\r\nRCPT TO:<eve@example.org>\r\n";
    mail.subject = "Hello\r\nBcc: eve@example.org\n\n.\n";
    const auto done = line.send(mail);
    ASSERT_TRUE(done.ok()) << done.reason;
    ASSERT_TRUE(line.send(example("run-2")).ok());
    const auto all = server.wait_for(2);
    ASSERT_EQ(all.size(), 2U) << "one mail each";
    EXPECT_EQ(all[0].text, to_text(mail));
    EXPECT_EQ(all[0].to, "alice@example.com");
    const auto headers = all[0].text.substr(0, all[0].text.find("\r\n\r\n") + 2);
    EXPECT_EQ(headers.find("\r\nBcc"), std::string::npos) << headers;
    EXPECT_THAT(headers, HasSubstr("\r\nAuto-Submitted: auto-generated\r\n"));
}

TEST(smtp, one_connection_serves_many_mails) {
    const auto server = mail_server::working();
    mail_line line(server.url(), {.smtp = {.deliveries_max = 1}});
    std::set<std::string> connections;
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(line.send(example("run-" + std::to_string(i))).ok());
    }
    for (const auto& mail : server.wait_for(5)) {
        connections.insert(mail.connection);
    }
    EXPECT_EQ(connections.size(), 1U);
    EXPECT_EQ(server.count("hello"), 1U);
}

TEST(smtp, deliveries_run_at_the_same_time_up_to_the_bound) {
    const auto server = mail_server::working({"--pause", "0.5"});
    mail_line line(server.url(), {.smtp = {.deliveries_max = 4}});
    const auto begun = std::chrono::steady_clock::now();
    std::vector<std::future<delivery>> all;
    for (int i = 0; i < 8; ++i) {
        all.push_back(line.begin(example("run-" + std::to_string(i))));
    }
    std::set<std::string> connections;
    for (auto& one : all) {
        EXPECT_TRUE(one.get().ok());
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s) << "one after another it is 4 s";
    for (const auto& mail : server.wait_for(8)) {
        connections.insert(mail.connection);
    }
    EXPECT_EQ(connections.size(), 4U);
}

TEST(smtp, addresses_beyond_ascii_use_SMTPUTF8_or_are_refused_for_good) {
    {
        const auto server = mail_server::working();
        mail_line line(server.url());
        const auto mail = example("run-1", "δοκιμή@παράδειγμα.δοκιμή");
        const auto done = line.send(mail);
        ASSERT_TRUE(done.ok()) << done.reason;
        const auto arrived = server.wait_for(1).front();
        EXPECT_THAT(arrived.options, HasSubstr("SMTPUTF8"));
        EXPECT_EQ(arrived.to, "δοκιμή@xn--hxajbheg2az3al.xn--jxalpdlp");
        EXPECT_EQ(arrived.text, to_text(mail));
    }
    const auto server = mail_server::working({"--no-utf8"});
    mail_line line(server.url());
    ASSERT_TRUE(line.send(example("run-1")).ok());
    const auto refused = line.send(example("run-2", "δοκιμή@example.com"));
    EXPECT_EQ(refused.what, outcome::rejected);
    EXPECT_THAT(refused.reason, HasSubstr("SMTPUTF8"));
    // In the domain alone it is no trouble: that is ASCII on the way.
    EXPECT_TRUE(line.send(example("run-3", "dokimi@παράδειγμα.δοκιμή")).ok());
    EXPECT_EQ(server.wait_for(2).back().to, "dokimi@xn--hxajbheg2az3al.xn--jxalpdlp");
    EXPECT_EQ(line.count("rejected"), 1);
}

TEST(smtp, STARTTLS_is_used_when_required_and_the_certificate_is_checked) {
    const auto server = mail_server::working({"--tls", "starttls"});
    {
        mail_line line(server.url(), {.tls = "required"});
        const auto refused = line.send(example("run-1"));
        EXPECT_EQ(refused.what, outcome::deferred) << "the certificate can be mended";
        EXPECT_TRUE(refused.alarm);
        EXPECT_THAT(refused.reason, HasSubstr("certificate"));
    }
    {
        mail_line line(
            server.url(),
            {.tls = "required", .ca = server.certificate(), .smtp = {.deliveries_max = 1}});
        ASSERT_TRUE(line.send(example("run-2")).ok());
        ASSERT_TRUE(line.send(example("run-3")).ok());
        const auto arrived = server.wait_for(2);
        EXPECT_TRUE(arrived[0].tls && arrived[1].tls);
        EXPECT_EQ(arrived[0].connection, arrived[1].connection) << "kept, encrypted";
    }
    {
        // The certificate is localhost's.
        mail_line line("smtp://127.0.0.1:" + std::to_string(server.port()),
                       {.tls = "required", .ca = server.certificate()});
        EXPECT_EQ(line.send(example("run-4")).what, outcome::deferred);
    }
    EXPECT_EQ(server.mails().size(), 2U);
}

TEST(smtp, a_server_without_STARTTLS_gets_nothing_when_it_is_required) {
    const auto server = mail_server::working();
    mail_line line(server.url(), {.tls = "required"});
    const auto refused = line.send(example("run-1"));
    EXPECT_EQ(refused.what, outcome::deferred);
    EXPECT_TRUE(refused.alarm);
    EXPECT_THAT(refused.reason, HasSubstr("no TLS as configured"));
    EXPECT_TRUE(server.mails().empty());
}

TEST(smtp, smtps_encrypts_from_the_first_byte) {
    const auto server = mail_server::working({"--tls", "smtps"});
    mail_line trusting(server.url({}, "smtps"), {.ca = server.certificate()});
    const auto done = trusting.send(example("run-1"));
    ASSERT_TRUE(done.ok()) << done.reason;
    EXPECT_EQ(server.wait_for(1).front().text, to_text(example("run-1")));
    mail_line doubting(server.url({}, "smtps"));
    EXPECT_EQ(doubting.send(example("run-2")).what, outcome::deferred);
    mail_line unreadable(server.url({}, "smtps"), {.ca = "/nonexistent.pem"});
    EXPECT_TRUE(unreadable.send(example("run-3")).alarm);
}

TEST(smtp, a_login_is_made_with_what_the_url_says) {
    const auto server = mail_server::working({"--login", "ada@example.org:p/w:@ 1"});
    mail_line right(server.url("ada%40example.org:p%2Fw%3A%40%201@"));
    const auto done = right.send(example("run-1"));
    ASSERT_TRUE(done.ok()) << done.reason;
    EXPECT_EQ(server.wait_for(1).front().login, "ada@example.org");

    mail_line wrong(server.url("ada%40example.org:hunter2@"));
    const auto refused = wrong.send(example("run-2"));
    EXPECT_EQ(refused.what, outcome::deferred) << "a password can be mended";
    EXPECT_TRUE(refused.alarm);
    EXPECT_THAT(refused.reason, HasSubstr("INSULA_SMTP_URL"));
    EXPECT_EQ(refused.reason.find("hunter2"), std::string::npos);
    EXPECT_EQ(refused.reason.find("aHVudGVyMg"), std::string::npos);

    mail_line without(server.url());
    const auto anonymous = without.send(example("run-3"));
    EXPECT_EQ(anonymous.what, outcome::deferred);
    EXPECT_TRUE(anonymous.alarm) << anonymous.reason;
}

TEST(smtp, refusals_are_told_apart) {
    const auto server = mail_server::working();
    mail_line line(server.url());
    const auto refused = line.send(example("run-1", "refused@example.com"));
    EXPECT_EQ(refused.what, outcome::rejected);
    EXPECT_THAT(refused.reason, HasSubstr("550 5.1.1 <refused@example.com>: no such user here"));
    const auto later = line.send(example("run-2", "greylisted@example.com"));
    EXPECT_EQ(later.what, outcome::deferred);
    EXPECT_FALSE(later.alarm);
    EXPECT_THAT(later.reason, HasSubstr("451 4.7.1 come back later"));
    EXPECT_TRUE(line.send(example("run-2", "greylisted@example.com")).ok());
    EXPECT_EQ(server.wait_for(1).front().text, to_text(example("run-2", "greylisted@example.com")));
    EXPECT_EQ(line.count("sent"), 1);
    EXPECT_EQ(line.count("deferred"), 1);
    EXPECT_EQ(line.count("rejected"), 1);
}

TEST(smtp, a_server_that_quotes_the_mail_gets_no_token_into_the_reason) {
    const auto server = mail_server::working();
    mail_line line(server.url());
    const std::string token = "q3r8pWvKx0aLZtYc7dNfUe2mHs9bJg5kQoTi4RnVwXy";
    const auto refused = line.send(example(
        "run-1", "quoting@example.com", "https://example.org/verify-email?token=" + token + "\n"));
    EXPECT_EQ(refused.what, outcome::rejected);
    EXPECT_THAT(refused.reason, HasSubstr("we take no mail with [link] in it"));
    EXPECT_EQ(refused.reason.find(token), std::string::npos);
}

TEST(smtp, the_check_greets_encrypts_logs_in_and_sends_no_mail) {
    const auto server = mail_server::working({"--tls", "starttls", "--login", "u:p"});
    const auto from = mailbox::parse("no-reply@example.org").value();
    const auto check = [&](const std::string& login, const std::string& ca) {
        return check_smtp_server(smtp_server::parse(server.url(login), "required", ca).value(),
                                 from, 5s);
    };
    const auto good = check("u:p@", server.certificate());
    EXPECT_TRUE(good.ok()) << good.reason;
    EXPECT_EQ(server.count("noop"), 1U);
    EXPECT_FALSE(check("u:wrong@", server.certificate()).ok());
    EXPECT_FALSE(check("u:p@", {}).ok()) << "self-signed";
    EXPECT_TRUE(server.mails().empty());
}
