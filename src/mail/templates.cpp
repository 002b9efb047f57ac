#include "insula/mail/templates.hpp"

#include "mail/encode.hpp"

#include "insula/core/text.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

namespace insula::mail {
namespace {

struct built_in {
    std::string_view purpose;
    std::string_view text;
};

constexpr std::string_view notice = "password_changed";

constexpr std::array<built_in, 4> built_in_texts{{
    {"verify_email",
     "Subject: Confirm your e-mail address\n\n"
     "Hello {full_name},\n\n"
     "please confirm your e-mail address by opening this link:\n\n"
     "{link}\n\n"
     "The link is good for {lifetime}. If you did not register, ignore this mail.\n"},
    {"reset_password",
     "Subject: Choose a new password\n\n"
     "Hello {full_name},\n\n"
     "somebody, hopefully you, asked for a new password. Choose one here:\n\n"
     "{link}\n\n"
     "The link can be used once and is good for {lifetime}. Once you have chosen, you are logged\n"
     "out everywhere and log in again with the new password.\n\n"
     "If it was not you, ignore this mail: your password stays as it is.\n"},
    {"accept_invite",
     "Subject: You are invited to {tenant_name}\n\n"
     "Hello,\n\n"
     "{inviter_name} ({inviter_email})\n"
     "invites you to join {tenant_name} as {role}. Accept the invitation here:\n\n"
     "{link}\n\n"
     "The link can be used once and is good for {lifetime}. If you do not know who invites you, "
     "or\n"
     "do not want to join, ignore this mail.\n"},
    {notice,
     "Subject: Your password was changed\n\n"
     "Hello {full_name},\n\n"
     "your password was just changed, and you were logged out wherever else you were logged in.\n\n"
     "If it was you, there is nothing to do. If it was not, somebody else may know your\n"
     "password: go to the page where you log in, ask for a new password, and choose one that\n"
     "you use nowhere else.\n"},
}};

constexpr std::size_t file_bytes_max = 64 * 1024;

/// "1 hour", "24 hours", "7 days".
std::string in_words(std::chrono::hours time) {
    const bool days = time.count() > 24 && time.count() % 24 == 0;
    const auto count = days ? time.count() / 24 : time.count();
    return std::to_string(count) + (days ? " day" : " hour") + (count == 1 ? "" : "s");
}

std::optional<std::string> value_of(std::string_view placeholder, const template_values& values) {
    if (placeholder == "lifetime") {
        return in_words(values.lifetime);
    }
    if (placeholder == "hours") {
        return std::to_string(values.lifetime.count());
    }
    const std::pair<std::string_view, const std::string*> known[] = {
        {"link", &values.link},
        {"full_name", &values.full_name},
        {"tenant_name", &values.tenant_name},
        {"role", &values.role},
        {"inviter_name", &values.inviter_name},
        {"inviter_email", &values.inviter_email}};
    for (const auto& [name, value] : known) {
        if (name == placeholder) {
            return *value;
        }
    }
    return std::nullopt;
}

// What mail programs make a link of gets a space: users chose these texts, and a mail of ours leads
// nowhere but to us.
std::string without_links(std::string text) {
    struct beginning {
        std::string_view text;
        std::size_t space_at;
    };
    for (const auto& begin : {beginning{"://", 1}, beginning{"www.", 3}}) {
        const auto folded = ascii_lower(text);
        auto at = folded.rfind(begin.text);
        while (at != std::string::npos) {
            text.insert(at + begin.space_at, 1, ' ');
            at = at == 0 ? std::string::npos : folded.rfind(begin.text, at - 1);
        }
    }
    return text;
}

// The text with its placeholders replaced, in one pass over the template; nullopt for one that is
// not known or not closed.
std::optional<std::string> fill(std::string_view text, const template_values& values) {
    std::string filled;
    while (true) {
        const auto open = text.find('{');
        filled += text.substr(0, open);
        if (open == std::string_view::npos) {
            return filled;
        }
        const auto close = text.find('}', open);
        if (close == std::string_view::npos) {
            return std::nullopt;
        }
        const auto name = text.substr(open + 1, close - open - 1);
        const auto value = value_of(name, values);
        if (!value) {
            return std::nullopt;
        }
        filled += name == "link" ? one_line(*value) : without_links(one_line(*value));
        text.remove_prefix(close + 1);
    }
}

[[noreturn]] void refuse(const std::string& where, const std::string& why) {
    throw infrastructure_error("mail template " + where + ": " + why);
}

mail_text parse(const std::string& where, std::string_view purpose, std::string_view text) {
    constexpr std::string_view label = "Subject: ";
    const auto first_end = std::min(text.find('\n'), text.size());
    auto first = text.substr(0, first_end);
    auto rest = text.substr(std::min(first_end + 1, text.size()));
    if (!valid_utf8(text) || !first.starts_with(label) ||
        trim(first.substr(label.size())).empty()) {
        refuse(where, "the first line must be \"Subject: \" and a text, all in UTF-8");
    }
    if (!rest.starts_with("\n") && !rest.starts_with("\r\n")) {
        refuse(where, "an empty line must follow the subject");
    }
    rest.remove_prefix(rest.starts_with("\r") ? 2 : 1);
    mail_text parsed{std::string(trim(first.substr(label.size()))), std::string(rest)};
    if (!fill(parsed.subject, {}) || !fill(parsed.body, {})) {
        refuse(where,
               "braces may only hold link, full_name, tenant_name, role, inviter_name, "
               "inviter_email, lifetime or hours");
    }
    const bool has_link = parsed.body.find("{link}") != std::string::npos;
    if (has_link == (purpose == notice)) {
        refuse(where, has_link ? "this mail has no {link}" : "the body must have {link}");
    }
    return parsed;
}

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(file_bytes_max + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!file.eof() || file.bad()) {
        refuse(path.string(), "cannot be read, or is larger than 64 KiB");
    }
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

}  // namespace

templates::templates(const std::filesystem::path& folder) {
    for (const auto& one : built_in_texts) {
        texts_.emplace(one.purpose, parse(std::string(one.purpose), one.purpose, one.text));
    }
    if (folder.empty()) {
        return;
    }
    std::error_code ec;
    std::filesystem::directory_iterator files(folder, ec);
    if (ec) {
        refuse(folder.string(), "cannot be read: " + ec.message());
    }
    for (const auto& file : files) {
        const auto& path = file.path();
        if (path.extension() != ".txt") {
            continue;
        }
        const auto found = texts_.find(path.stem().string());
        if (found == texts_.end()) {
            refuse(path.string(),
                   "no such mail; known are verify_email, reset_password, accept_invite and "
                   "password_changed");
        }
        found->second = parse(path.string(), found->first, read_file(path));
    }
}

result<mail_text> templates::render(std::string_view purpose, const template_values& values) const {
    const auto found = texts_.find(purpose);
    if (found == texts_.end()) {
        return error(errc::internal, {}, "mail: no template for " + std::string(purpose));
    }
    auto subject = fill(found->second.subject, values);
    auto body = fill(found->second.body, values);
    if (!subject || !body) {
        return error(errc::internal, {}, "mail: broken template for " + std::string(purpose));
    }
    return mail_text{std::move(*subject), std::move(*body)};
}

}  // namespace insula::mail
