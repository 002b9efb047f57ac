// Each way a delivery can end, scripted: what it means is decided without a server.
#include "mail/smtp_dialogue.hpp"

#include <gtest/gtest.h>

using namespace insula::mail;
using outcome = delivery::outcome;

namespace {

/// "C: " is ours, "S: " the server's.
smtp_dialogue play(std::initializer_list<std::string_view> lines, bool needs_utf8 = false) {
    smtp_dialogue said(needs_utf8);
    for (const auto line : lines) {
        if (line.starts_with("C: ")) {
            said.command(std::string(line.substr(3)) + "\r\n");
        } else if (!said.reply(std::string(line.substr(3)) + "\r\n")) {
            break;
        }
    }
    return said;
}

smtp_attempt broken(const smtp_dialogue& said, smtp_end end = smtp_end::broken) {
    return judge(said, end, "the connection is gone", "mail text");
}

bool has(const smtp_attempt& attempt, std::string_view text) {
    return attempt.result.reason.find(text) != std::string::npos;
}

}  // namespace

TEST(smtp_dialogue, done_is_sent) {
    EXPECT_EQ(judge(play({}), smtp_end::done, {}, {}).result.what, outcome::sent);
}

TEST(smtp_dialogue, a_refused_receiver_is_final) {
    const auto attempt = broken(
        play({"S: 220 hi", "C: EHLO me", "S: 250-a", "S: 250 b", "C: MAIL FROM:<a@b>", "S: 250 ok",
              "C: RCPT TO:<c@d>", "S: 550-5.1.1 no", "S: 550 such user", "C: QUIT", "S: 221 bye"}));
    EXPECT_EQ(attempt.result.what, outcome::rejected);
    EXPECT_FALSE(attempt.server_in_trouble);
    EXPECT_TRUE(has(attempt, "answer to the recipient: 550-5.1.1 no 550 such user"))
        << attempt.result.reason;
}

TEST(smtp_dialogue, a_refused_content_is_final_and_an_accepted_one_cut_off_is_not) {
    const std::initializer_list<std::string_view> begun{
        "S: 220 hi", "C: MAIL FROM:<a@b>", "S: 250 ok", "C: RCPT TO:<c@d>", "S: 250 ok",
        "C: DATA",   "S: 354 go on"};
    auto said = play(begun);
    EXPECT_EQ(said.stage(), smtp_stage::content);
    const auto unknown = broken(said);
    EXPECT_EQ(unknown.result.what, outcome::deferred);
    EXPECT_TRUE(unknown.server_in_trouble);
    EXPECT_TRUE(has(unknown, "at the content: the connection is gone")) << unknown.result.reason;
    EXPECT_TRUE(said.reply("554 5.7.1 spam\r\n"));
    EXPECT_EQ(broken(said).result.what, outcome::rejected);
}

TEST(smtp_dialogue, four_hundreds_are_for_later_and_do_not_blame_the_server) {
    const auto grey = broken(play(
        {"C: MAIL FROM:<a@b>", "S: 250 ok", "C: RCPT TO:<c@d>", "S: 451 4.7.1 come back later"}));
    EXPECT_EQ(grey.result.what, outcome::deferred);
    EXPECT_FALSE(grey.server_in_trouble);
    EXPECT_FALSE(grey.result.alarm);
    const auto closing = broken(play({"C: MAIL FROM:<a@b>", "S: 421 going down"}));
    EXPECT_EQ(closing.result.what, outcome::deferred);
    EXPECT_TRUE(closing.server_in_trouble);
}

TEST(smtp_dialogue, what_comes_before_the_mail_is_never_held_against_the_mail) {
    for (const auto& said :
         {play({}), play({"S: 554 go away"}), play({"S: 220 hi", "C: EHLO me", "S: 550 no"})}) {
        EXPECT_EQ(broken(said).result.what, outcome::deferred);
        EXPECT_TRUE(broken(said).server_in_trouble);
    }
}

TEST(smtp_dialogue, a_refused_login_is_for_later_and_loud) {
    const auto wrong = broken(
        play({"C: EHLO me", "S: 250 AUTH PLAIN", "C: AUTH PLAIN", "S: 535 5.7.8 bad password"}),
        smtp_end::login_denied);
    const auto missing =
        broken(play({"C: MAIL FROM:<a@b>", "S: 530 5.7.0 authentication required"}));
    for (const auto& attempt : {wrong, missing}) {
        EXPECT_EQ(attempt.result.what, outcome::deferred);
        EXPECT_TRUE(attempt.result.alarm);
        EXPECT_TRUE(attempt.server_in_trouble) << "a password is not tried by all at once";
        EXPECT_TRUE(has(attempt, "INSULA_SMTP_URL")) << attempt.result.reason;
    }
}

TEST(smtp_dialogue, the_words_of_a_login_are_no_commands) {
    // The second line of AUTH LOGIN is whatever base64 makes of a user's name.
    const auto said = play({"C: EHLO me", "S: 250 ok", "C: AUTH LOGIN", "S: 334 x", "C: DATA"});
    EXPECT_EQ(said.stage(), smtp_stage::login);
}

TEST(smtp_dialogue, no_tls_is_for_later_and_loud) {
    const auto attempt = broken(play({"S: 220 hi"}), smtp_end::tls_failed);
    EXPECT_EQ(attempt.result.what, outcome::deferred);
    EXPECT_TRUE(attempt.result.alarm);
}

TEST(smtp_dialogue, stopped_by_us_says_nothing_about_the_server) {
    const auto attempt = broken(play({"C: MAIL FROM:<a@b>", "S: 250 ok"}), smtp_end::stopped);
    EXPECT_EQ(attempt.result.what, outcome::deferred);
    EXPECT_FALSE(attempt.server_in_trouble);
}

TEST(smtp_dialogue, an_address_beyond_ascii_needs_the_servers_word) {
    smtp_dialogue without(true);
    without.command("MAIL FROM:<a@b> SIZE=9\r\n");
    EXPECT_FALSE(without.reply("250 ok\r\n")) << "stop before the receiver is named";
    const auto attempt = broken(without);
    EXPECT_EQ(attempt.result.what, outcome::rejected);
    EXPECT_TRUE(has(attempt, "SMTPUTF8"));
    smtp_dialogue with(true);
    with.command("MAIL FROM:<a@b> SIZE=9 SMTPUTF8\r\n");
    EXPECT_TRUE(with.reply("250 ok\r\n"));
    smtp_dialogue plain(false);
    plain.command("MAIL FROM:<a@b> SIZE=9\r\n");
    EXPECT_TRUE(plain.reply("250 ok\r\n"));
}

TEST(smtp_dialogue, replies_are_one_short_printable_line) {
    const auto said = play({"C: MAIL FROM:<a@b>", "S: 550 \x1b[31mred\x07 \xff"});
    EXPECT_EQ(said.text().find('\x1b'), std::string::npos);
    smtp_dialogue flood(false);
    flood.command("MAIL FROM:<a@b>\r\n");
    for (int i = 0; i < 1'000; ++i) {
        EXPECT_TRUE(flood.reply("550-" + std::string(400, 'x') + "\r\n"));
    }
    EXPECT_TRUE(flood.reply("550 end\r\n"));
    EXPECT_LE(flood.text().size(), 500U);
    EXPECT_EQ(broken(flood).result.what, outcome::rejected);
}

TEST(smtp_dialogue, links_and_tokens_stay_out_of_reasons) {
    const std::string token = "q3r8pWvKx0aLZtYc7dNfUe2mHs9bJg5kQoTi4RnVwXy";
    const auto mail = "Hello\r\nhttps://a.example/verify-email?token=" + token + "\r\n";
    for (const auto& reply :
         {"550 spam: https://a.example/verify-email?token=" + token + " refused",
          "550 bad word " + token, "550 bad word (" + token.substr(5, 20) + ")",
          "550 verify-email?token=" + token.substr(0, 10)}) {
        const auto shown = without_links(reply, mail);
        EXPECT_EQ(shown.find(token.substr(5, 5)), std::string::npos) << shown;
        EXPECT_TRUE(shown.starts_with("550 ")) << shown;
        EXPECT_NE(shown.find("[link]"), std::string::npos) << shown;
    }
    EXPECT_EQ(without_links("550 5.1.1 <ada@example.org>: no such user", mail),
              "550 5.1.1 <ada@example.org>: no such user");
}
