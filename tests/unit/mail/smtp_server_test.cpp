#include "insula/mail/smtp_server.hpp"

#include <gtest/gtest.h>

using namespace insula;
using namespace insula::mail;

namespace {

using encryption = smtp_server::encryption;

std::string refused(std::string_view url, std::string_view tls = "auto") {
    const auto parsed = smtp_server::parse(url, tls, {});
    return parsed ? "accepted" : std::string(parsed.error().internal());
}

encryption tls_of(std::string_view url, std::string_view tls = "auto") {
    return smtp_server::parse(url, tls, {}).value().tls;
}

}  // namespace

TEST(smtp_server, has_its_parts_decoded) {
    const auto full =
        smtp_server::parse(
            "smtp://mail%40er:p%2Fw%3A%40%20x%C3%A9@mail.example.org:587/api.example.org", "auto",
            "/etc/ca.pem")
            .value();
    EXPECT_EQ(full.host, "mail.example.org");
    EXPECT_EQ(full.port, 587);
    EXPECT_EQ(full.user, "mail@er");
    EXPECT_EQ(full.password.view(), "p/w:@ xé");
    EXPECT_EQ(full.name, "api.example.org");
    EXPECT_EQ(full.ca_file, "/etc/ca.pem");
    const auto plain = smtp_server::parse("smtp://[::1]/", "auto", {}).value();
    EXPECT_EQ(plain.host, "[::1]");
    EXPECT_EQ(plain.port, 25);
    EXPECT_TRUE(plain.user.empty());
    EXPECT_EQ(smtp_server::parse("smtps://h.example", "auto", {}).value().port, 465);
}

TEST(smtp_server, a_password_never_leaves_this_machine_in_the_clear) {
    EXPECT_EQ(tls_of("smtp://u:p@mail.example.org"), encryption::starttls);
    EXPECT_EQ(tls_of("smtp://u:p@10.0.0.1"), encryption::starttls);
    EXPECT_EQ(tls_of("smtp://u:p@127.example.org"), encryption::starttls) << "a name, not loopback";
    EXPECT_EQ(tls_of("smtp://u:p@localhost.example.org"), encryption::starttls);
    EXPECT_NE(refused("smtp://u:p@mail.example.org", "off").find("in the clear"),
              std::string::npos);
    EXPECT_EQ(tls_of("smtps://u:p@mail.example.org"), encryption::from_start);
    EXPECT_NE(refused("smtps://mail.example.org", "off").find("contradicts"), std::string::npos);
}

TEST(smtp_server, encrypts_when_it_can_and_when_it_must) {
    EXPECT_EQ(tls_of("smtp://mail.example.org"), encryption::if_offered);
    EXPECT_EQ(tls_of("smtp://mail.example.org", "required"), encryption::starttls);
    EXPECT_EQ(tls_of("smtp://mail.example.org", "off"), encryption::none);
    for (const auto* loopback : {"smtp://u:p@localhost", "smtp://127.0.0.1", "smtp://u:p@[::1]"}) {
        EXPECT_EQ(tls_of(loopback), encryption::none) << loopback;
        EXPECT_EQ(tls_of(loopback, "required"), encryption::starttls) << loopback;
        EXPECT_EQ(tls_of(loopback, "off"), encryption::none) << loopback;
    }
}

TEST(smtp_server, what_is_no_server_is_refused_without_repeating_it) {
    for (const auto* url :
         {"", "mail.example.org", "http://mail.example.org", "smtp://", "smtp:mail.example.org",
          "smtp://user@mail.example.org", "smtp://:secret@mail.example.org",
          "smtp://u:secret@mail.example.org:0", "smtp://u:secret@mail.example.org:70000",
          "smtp://u:secret@mail.example.org:x", "smtp://u:secret@mail.example.org/a/b",
          "smtp://u:secret@mail.example.org/a%0d%0ab", "smtp://u:secret@mail.example.org?x=1",
          "smtp://u:secret@mail.example.org#x", "smtp://u;AUTH=PLAIN:secret@mail.example.org",
          "smtp://u:se%0d%0acret@mail.example.org", "smtp://u:se%00cret@mail.example.org",
          "smtp://u:secret@mail_example!org", "smtp://u:secret@-x.org"}) {
        const auto text = refused(url);
        EXPECT_NE(text.find("must be smtp://"), std::string::npos) << url << ": " << text;
        EXPECT_EQ(text.find("secret"), std::string::npos) << text;
    }
    EXPECT_NE(refused("smtp://mail.example.org", "perhaps").find("smtp_tls"), std::string::npos);
}

TEST(smtp_server, describes_itself_without_user_and_password) {
    const auto server = smtp_server::parse("smtp://ada:secret@mail.example.org:587", "auto", {});
    EXPECT_EQ(server->describe(), "smtp://mail.example.org:587, STARTTLS required, with a login");
    EXPECT_EQ(smtp_server::parse("smtp://localhost", "auto", {})->describe(),
              "smtp://localhost:25, not encrypted");
}
