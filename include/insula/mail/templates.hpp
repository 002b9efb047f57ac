#pragma once
// What mails say. Built in, and replaceable by a directory of PURPOSE.txt files:
//
//     Subject: Confirm your address, {full_name}
//
//     Please open {link}
//
// The first line is the subject, an empty line follows, the rest is the body. Placeholders: {link}
// (required, but for the notice password_changed, which has none), {full_name}, {lifetime} (how
// long the link is good for: "24 hours", "7 days"), {hours} (the same as a number), and for invites
// {tenant_name}, {role}, {inviter_name} and {inviter_email}. Anything else in braces is refused
// when the templates are loaded, so that a misspelt placeholder is found at start and not in a
// mail.

#include "insula/core/error.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace insula::mail {

struct template_values {
    std::string link;
    std::string full_name;
    std::string tenant_name;
    std::string role;
    std::string inviter_name;
    std::string inviter_email;
    std::chrono::hours lifetime{};
};

struct mail_text {
    std::string subject;
    std::string body;
};

/// Purposes: "verify_email", "reset_password", "accept_invite", "password_changed". Immutable once
/// made: may be used by any thread.
class templates {
public:
    /// The built-in texts; those of `folder`, unless it is empty, replace them. Reads files: at
    /// start, before the loops run. Throws infrastructure_error with a sentence for the operator
    /// when a file is no template, or when the folder has a file of an unknown purpose or cannot be
    /// read.
    explicit templates(const std::filesystem::path& folder = {});

    /// Values are put in once (a value that looks like a placeholder stays as it is), control
    /// characters in them become spaces, and only `link` can be clicked: the others are what users
    /// chose. errc::internal for an unknown purpose.
    [[nodiscard]] result<mail_text> render(std::string_view purpose,
                                           const template_values& values) const;

private:
    std::map<std::string, mail_text, std::less<>> texts_;
};

}  // namespace insula::mail
