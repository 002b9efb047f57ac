#include "insula/mail/templates.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(path_ / name) << text;
    }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

std::string refusal(const std::string& name, const std::string& text) {
    const temporary_folder folder;
    folder.write(name, text);
    try {
        const templates loaded(folder.path());
        return "accepted";
    } catch (const infrastructure_error& e) {
        return e.what();
    }
}

const template_values values{.link = "https://example.org/x?token=t",
                             .full_name = "Ada",
                             .tenant_name = "Acme",
                             .role = "admin",
                             .inviter_name = "Grace",
                             .inviter_email = "grace@acme.example",
                             .lifetime = std::chrono::hours(24)};

}  // namespace

TEST(templates, that_are_built_in_have_a_subject_and_the_link) {
    const templates built_in;
    for (const std::string_view purpose : {"verify_email", "reset_password", "accept_invite"}) {
        const auto text = built_in.render(purpose, values).value();
        EXPECT_FALSE(text.subject.empty());
        EXPECT_NE(text.body.find("\n" + values.link + "\n"), std::string::npos) << text.body;
        EXPECT_EQ(text.body.find('{'), std::string::npos);
        EXPECT_EQ(text.subject.find('{'), std::string::npos);
    }
    const auto invite = built_in.render("accept_invite", values).value().body;
    EXPECT_NE(invite.find("Grace (grace@acme.example)\ninvites you to join Acme as admin."),
              std::string::npos)
        << invite;
}

TEST(templates, the_notice_of_a_changed_password_has_no_link_to_click) {
    const auto text = templates().render("password_changed", values).value();
    EXPECT_NE(text.body.find("Hello Ada,"), std::string::npos);
    EXPECT_EQ(text.body.find("://"), std::string::npos) << text.body;
    EXPECT_NE(refusal("password_changed.txt", "Subject: x\n\n{link}").find("no {link}"),
              std::string::npos);
    EXPECT_EQ(refusal("password_changed.txt", "Subject: x\n\nyes"), "accepted");
}

TEST(templates, say_how_long_a_link_is_good_for_as_people_do) {
    const auto said = [](int hours) {
        const temporary_folder folder;
        folder.write("verify_email.txt", "Subject: {lifetime} ({hours})\n\n{link}\n");
        auto about = values;
        about.lifetime = std::chrono::hours(hours);
        return templates(folder.path()).render("verify_email", about).value().subject;
    };
    EXPECT_EQ(said(1), "1 hour (1)");
    EXPECT_EQ(said(24), "24 hours (24)");
    EXPECT_EQ(said(25), "25 hours (25)");
    EXPECT_EQ(said(7 * 24), "7 days (168)");
}

TEST(templates, of_an_unknown_purpose_are_an_error) {
    EXPECT_FALSE(templates().render("spam", values));
}

TEST(templates, of_a_folder_replace_the_built_in_ones) {
    const temporary_folder folder;
    folder.write("verify_email.txt", "Subject: Hallo {full_name} \r\n\r\nBitte: {link}\n");
    folder.write("README.md", "not a template");
    const templates replaced(folder.path());
    const auto text = replaced.render("verify_email", values).value();
    EXPECT_EQ(text.subject, "Hallo Ada");
    EXPECT_EQ(text.body, "Bitte: https://example.org/x?token=t\n");
    EXPECT_EQ(replaced.render("reset_password", values).value().subject,
              templates().render("reset_password", values).value().subject);
}

TEST(templates, values_are_put_in_once_and_on_one_line) {
    const auto text =
        templates().render("verify_email", {.link = "L", .full_name = "{link}\r\nBcc: x"}).value();
    EXPECT_NE(text.body.find("Hello {link}  Bcc: x,"), std::string::npos) << text.body;
}

TEST(templates, have_one_link_whatever_users_call_themselves) {
    auto evil = values;
    evil.full_name = "://";
    evil.tenant_name = "Win now https://evil.example/claim";
    evil.inviter_name = "WWW.evil.example www.www.evil.example";
    evil.inviter_email = "www.a@acme.example";
    const auto text = templates().render("accept_invite", evil).value();
    EXPECT_EQ(text.subject, "You are invited to Win now https: //evil.example/claim");
    EXPECT_EQ(text.body.find("://"), text.body.find(values.link) + 5) << text.body;
    EXPECT_EQ(text.body.find("://"), text.body.rfind("://")) << text.body;
    EXPECT_NE(text.body.find("WWW .evil.example www .www .evil.example (www .a@acme.example)"),
              std::string::npos)
        << text.body;
    EXPECT_NE(templates().render("verify_email", evil).value().body.find("Hello : //,"),
              std::string::npos);
}

TEST(templates, with_a_mistake_are_refused_when_they_are_loaded) {
    EXPECT_NE(refusal("verify_email.txt", "Hello {link}").find("the first line must be"),
              std::string::npos);
    EXPECT_NE(refusal("verify_email.txt", "Subject: \n\n{link}").find("the first line must be"),
              std::string::npos);
    EXPECT_NE(refusal("verify_email.txt", "").find("the first line must be"), std::string::npos);
    EXPECT_NE(refusal("verify_email.txt", "Subject: \xff\n\n{link}").find("UTF-8"),
              std::string::npos);
    EXPECT_NE(refusal("verify_email.txt", "Subject: x\n{link}").find("an empty line"),
              std::string::npos);
    EXPECT_NE(refusal("verify_email.txt", "Subject: x").find("an empty line"), std::string::npos);
    EXPECT_NE(refusal("verify_email.txt", "Subject: x\n\nno address").find("must have {link}"),
              std::string::npos);
    EXPECT_NE(refusal("verify_email.txt", "Subject: x\n\n{link} {lnik}").find("braces"),
              std::string::npos);
    EXPECT_NE(refusal("verify_email.txt", "Subject: {x\n\n{link}").find("braces"),
              std::string::npos);
    EXPECT_NE(refusal("verify_mail.txt", "Subject: x\n\n{link}").find("no such mail"),
              std::string::npos);
    EXPECT_NE(refusal("verify_email.txt", "Subject: x\n\n{link}" + std::string(65536, 'x'))
                  .find("larger"),
              std::string::npos);
    EXPECT_THROW(templates("/does/not/exist"), infrastructure_error);
}
