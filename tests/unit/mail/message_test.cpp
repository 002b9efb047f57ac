#include "insula/mail/message.hpp"

#include "mail/encode.hpp"

#include "insula/core/base64.hpp"

#include <gtest/gtest.h>

using namespace insula;
using namespace insula::mail;
using namespace std::string_view_literals;

namespace {

message example() {
    message mail;
    mail.key = message_key::parse("0193-verify").value();
    mail.from = mailbox::parse("Insula <no-reply@example.org>").value();
    mail.to = {"", email_address::parse("Alice@Example.com").value()};
    mail.subject = "Confirm your e-mail address";
    mail.body = "Hello,\n\nhttps://example.org/verify-email?token=abc\n";
    mail.date = parse_rfc3339("2026-11-23T06:30:05.9Z").value();
    return mail;
}

std::string headers_of(const std::string& text) {
    return text.substr(0, text.find("\r\n\r\n") + 2);
}
std::string body_of(const std::string& text) {
    return text.substr(text.find("\r\n\r\n") + 4);
}

// The names of the header lines (folded lines belong to the one above).
std::vector<std::string> header_names(const std::string& text) {
    std::vector<std::string> names;
    auto rest = headers_of(text);
    while (!rest.empty()) {
        const auto end = rest.find("\r\n");
        if (rest.front() != ' ') {
            names.push_back(rest.substr(0, rest.find(':')));
        }
        rest.erase(0, end + 2);
    }
    return names;
}

std::string decode_words(std::string_view words) {
    std::string text;
    while (!words.empty()) {
        EXPECT_TRUE(words.starts_with("=?UTF-8?B?")) << words;
        const auto end = words.find("?=");
        EXPECT_LE(end + 2, 75U);
        const auto part = base64_decode(words.substr(10, end - 10));
        EXPECT_TRUE(part);
        text += as_text(*part);
        words.remove_prefix(end + 2);
        if (words.starts_with("\r\n ")) {
            words.remove_prefix(3);
        }
    }
    return text;
}

std::string decode_quoted_printable(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '=') {
            plain.push_back(text[i]);
        } else if (text.substr(i, 3) == "=\r\n") {
            i += 2;
        } else {
            plain.push_back(
                static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)));
            i += 2;
        }
    }
    return plain;
}

const std::vector<std::string> all_headers{
    "Date",          "From",         "To",           "Subject",
    "Message-ID",    "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
    "Auto-Submitted"};

}  // namespace

TEST(message, is_written_as_rfc_5322_says) {
    EXPECT_EQ(to_text(example()),
              "Date: Mon, 23 Nov 2026 06:30:05 +0000\r\n"
              "From: Insula <no-reply@example.org>\r\n"
              "To: <Alice@example.com>\r\n"
              "Subject: Confirm your e-mail address\r\n"
              "Message-ID: <0193-verify@example.org>\r\n"
              "MIME-Version: 1.0\r\n"
              "Content-Type: text/plain; charset=utf-8\r\n"
              "Content-Transfer-Encoding: 7bit\r\n"
              "Auto-Submitted: auto-generated\r\n"
              "\r\n"
              "Hello,\r\n\r\nhttps://example.org/verify-email?token=abc\r\n");
}

TEST(message, of_the_same_parts_is_the_same_text) {
    EXPECT_EQ(to_text(example()), to_text(example()));
}

TEST(message, nothing_typed_by_a_user_can_add_a_header_or_a_receiver) {
    for (const auto hostile :
         {"x\r\nBcc: eve@example.com"sv, "x\nBcc: eve@example.com"sv, "x\rBcc: eve"sv,
          "\r\n\r\nbody"sv, "x\0y"sv,
          "\xe2\x80\xa8"
          "Bcc: e"sv,
          "\xc2\x85"
          "Bcc: e"sv,
          "\" <eve@example.com>, \""sv, "a <b@c>, d"sv, "\\"sv, "=?UTF-8?Q?=0D=0ABcc:_eve?="sv,
          "\xff\r\nBcc: e"sv, "x: y; z, w"sv}) {
        auto mail = example();
        mail.subject = hostile;
        mail.from.name = hostile;
        mail.to.name = hostile;
        const auto text = to_text(mail);
        EXPECT_EQ(header_names(text), all_headers) << text;
        const auto headers = headers_of(text);
        EXPECT_EQ(body_of(text), body_of(to_text(example())));
        for (const char c : headers) {
            const auto byte = static_cast<unsigned char>(c);
            EXPECT_TRUE((byte >= 0x20 && byte < 0x7f) || c == '\r' || c == '\n');
        }
        EXPECT_EQ(headers.find("=0D=0A"), std::string::npos)
            << "an encoded word of theirs is not decoded";
    }
}

TEST(message, a_subject_beyond_ascii_becomes_encoded_words) {
    auto mail = example();
    mail.subject =
        "Grüße aus Zürich: " + std::string(100, 'x') +
        " ünïcödé 👩‍👩‍👧 €€€€€€€€€€€€€€€€";
    const auto headers = headers_of(to_text(mail));
    const auto begin = headers.find("Subject: ") + 9;
    const auto words = headers.substr(begin, headers.find("\r\nMessage-ID") - begin);
    EXPECT_EQ(decode_words(words), mail.subject);
    mail.subject = std::string(500, 'a');
    const auto long_headers = headers_of(to_text(mail));
    for (std::size_t at = 0; at < long_headers.size();) {
        const auto end = long_headers.find("\r\n", at);
        EXPECT_LE(end - at, 90U);
        at = end + 2;
    }
}

TEST(message, names_are_quoted_or_encoded_when_they_must_be) {
    auto mail = example();
    mail.to.name = "Smith, \"Al\" \\ Co";
    EXPECT_NE(to_text(mail).find("To: \"Smith, \\\"Al\\\" \\\\ Co\" <Alice@example.com>\r\n"),
              std::string::npos);
    mail.to.name = "Zoë";
    EXPECT_NE(to_text(mail).find("To: =?UTF-8?B?Wm/Dqw==?=\r\n <Alice@example.com>\r\n"),
              std::string::npos);
}

TEST(message, goes_to_the_address_as_typed_with_its_domain_in_ascii) {
    auto mail = example();
    mail.to.address = email_address::parse("Jürgen@MÜNCHEN.de").value();
    EXPECT_NE(to_text(mail).find("To: <Jürgen@xn--mnchen-3ya.de>\r\n"), std::string::npos);
}

TEST(message, a_body_beyond_ascii_is_quoted_printable) {
    auto mail = example();
    mail.body =
        "Grüße = ☃\n\ntrailing space \nhttps://example.org/?token=" + std::string(200, 'x') +
        "\n\ttab\t\n.\n";
    const auto text = to_text(mail);
    EXPECT_NE(text.find("Content-Transfer-Encoding: quoted-printable\r\n"), std::string::npos);
    const auto body = body_of(text);
    EXPECT_EQ(decode_quoted_printable(body), with_crlf(mail.body));
    for (std::size_t at = 0; at < body.size();) {
        const auto end = body.find("\r\n", at);
        ASSERT_NE(end, std::string::npos);
        EXPECT_LE(end - at, 76U);
        EXPECT_TRUE(end == at || (body[end - 1] != ' ' && body[end - 1] != '\t'));
        at = end + 2;
    }
}

TEST(message, a_body_of_ascii_stays_readable_unless_a_line_is_too_long) {
    EXPECT_TRUE(fits_7bit(std::string(998, 'x') + "\r\n"));
    EXPECT_FALSE(fits_7bit(std::string(999, 'x') + "\r\n"));
    EXPECT_FALSE(fits_7bit("a\0b"sv));
    EXPECT_FALSE(fits_7bit("a\x1b"));
    EXPECT_TRUE(fits_7bit("a\tb\r\n"));
}

TEST(message, line_ends_of_every_kind_become_crlf) {
    EXPECT_EQ(with_crlf("a\nb\r\nc\rd"), "a\r\nb\r\nc\r\nd\r\n");
    EXPECT_EQ(with_crlf("a\n\n"), "a\r\n\r\n");
    EXPECT_EQ(with_crlf("a\r\r\n"), "a\r\n\r\n");
    EXPECT_EQ(with_crlf(""), "");
}

TEST(quoted_printable, every_byte_and_every_width_comes_back) {
    std::string text;
    for (int i = 0; i < 256; ++i) {
        if (i != '\r' && i != '\n') {
            text.push_back(static_cast<char>(i));
        }
    }
    for (std::size_t pad = 0; pad < 80; ++pad) {
        const auto line = std::string(pad, 'x') + "é" + text + "\r\n";
        EXPECT_EQ(decode_quoted_printable(quoted_printable(line)), line);
    }
}

TEST(message_key, is_safe_as_a_file_name_and_as_an_id) {
    for (const std::string_view good : {"a", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f.send", "A_1"}) {
        EXPECT_TRUE(message_key::parse(good)) << good;
    }
    EXPECT_TRUE(message_key::parse(std::string(100, 'a')));
    const std::string too_long(101, 'a');
    for (const auto bad :
         {""sv, "."sv, ".."sv, ".a"sv, "a."sv, "a..b"sv, "a/b"sv, "../../etc/passwd"sv, "a b"sv,
          "a\nb"sv, "a\0"sv, "a@b"sv, "a>b"sv, "é"sv, std::string_view(too_long)}) {
        EXPECT_FALSE(message_key::parse(bad)) << bad;
    }
}

TEST(mailbox, reads_what_an_operator_writes) {
    const auto named = mailbox::parse(" Insula Service <no-reply@example.org> ").value();
    EXPECT_EQ(named.name, "Insula Service");
    EXPECT_EQ(named.address.str(), "no-reply@example.org");
    EXPECT_EQ(mailbox::parse("\"Insula, Ltd\" <a@b>").value().name, "Insula, Ltd");
    EXPECT_EQ(mailbox::parse("a@b").value().name, "");
    EXPECT_EQ(mailbox::parse("<a@b>").value().address.str(), "a@b");
    EXPECT_EQ(mailbox::parse("Zoë <a@b>").value().name, "Zoë");
    for (const auto bad : {""sv, "Insula"sv, "Insula <a@b"sv, "Insula <a@b> x"sv, "Insula <>"sv,
                           "a\r\nb <a@b>"sv, "<a@b>, <c@d>"sv, "a <b> <c@d>"sv, "\xff <a@b>"sv}) {
        EXPECT_FALSE(mailbox::parse(bad)) << bad;
    }
}
