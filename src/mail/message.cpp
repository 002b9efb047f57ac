#include "insula/mail/message.hpp"

#include "mail/encode.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace insula::mail {
namespace {

constexpr std::string_view atom_specials = "()<>[]:;@\\,.\"";

bool is_key_character(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

// RFC 5322 display-name: words as they are, otherwise a quoted string, beyond ASCII encoded words.
std::string mailbox_text(const mailbox& box) {
    // email_address has no character that could end the angle brackets.
    auto address = "<" + bare_address(box.address) + ">";
    const auto name = one_line(box.name);
    if (name.empty()) {
        return address;
    }
    if (!is_plain_ascii(name) || name.size() > 60 || name.find("=?") != std::string::npos) {
        return encoded_words(name) + "\r\n " + address;
    }
    if (name.find_first_of(atom_specials) == std::string::npos) {
        return name + " " + address;
    }
    std::string quoted = "\"";
    for (const char c : name) {
        if (c == '"' || c == '\\') {
            quoted.push_back('\\');
        }
        quoted.push_back(c);
    }
    return quoted + "\" " + address;
}

std::string subject_text(std::string_view subject) {
    const auto line = one_line(subject);
    const bool as_it_is = is_plain_ascii(line) && line.size() <= 66 && !line.starts_with(' ') &&
                          !line.ends_with(' ') && line.find("=?") == std::string::npos;
    return as_it_is ? line : encoded_words(line);
}

// RFC 5322 section 3.3, always in UTC.
std::string date_text(timestamp at) {
    using namespace std::chrono;
    constexpr std::string_view days_of_week[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto day = floor<days>(at);
    const year_month_day date(day);
    const hh_mm_ss<seconds> clock(floor<seconds>(at - day));
    return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} +0000",
                       days_of_week[weekday(day).c_encoding()], unsigned{date.day()},
                       months[unsigned{date.month()} - 1], int{date.year()}, clock.hours().count(),
                       clock.minutes().count(), clock.seconds().count());
}

}  // namespace

value_result<message_key> message_key::parse(std::string_view text) {
    if (text.empty()) {
        return value_problem{"too_short", "must have at least 1 character"};
    }
    if (text.size() > size_max) {
        return value_problem{"too_long", "must have at most 100 characters"};
    }
    if (!std::all_of(text.begin(), text.end(), is_key_character) || text.front() == '.' ||
        text.back() == '.' || text.find("..") != std::string_view::npos) {
        return value_problem{"invalid_message_key", "must be letters, digits, dots, _ and -"};
    }
    message_key key;
    key.text_ = text;
    return key;
}

value_result<mailbox> mailbox::parse(std::string_view text) {
    text = trim(text);
    const auto open = text.find('<');
    mailbox box;
    if (open == std::string_view::npos) {
        auto bare = email_address::parse(text);
        if (!bare) {
            return bare.error();
        }
        box.address = std::move(*bare);
        return box;
    }
    auto name = trim(text.substr(0, open));
    if (name.size() >= 2 && name.front() == '"' && name.back() == '"') {
        name = name.substr(1, name.size() - 2);
    }
    if (!text.ends_with('>') || !valid_utf8(name) || has_control_characters(name) ||
        name.find_first_of("\"\\<>") != std::string_view::npos) {
        return value_problem{"invalid_mailbox", "must be an address or Name <address>"};
    }
    auto address = email_address::parse(text.substr(open + 1, text.size() - open - 2));
    if (!address) {
        return address.error();
    }
    box.name = name;
    box.address = std::move(*address);
    return box;
}

std::string bare_address(const email_address& address) {
    const std::string_view typed(address.str());
    return std::string(typed.substr(0, typed.find('@'))) + "@" + std::string(address.domain());
}

std::string message_id(const message& mail) {
    return "<" + mail.key.str() + "@" + std::string(mail.from.address.domain()) + ">";
}

std::string to_text(const message& mail) {
    const auto body = with_crlf(mail.body);
    const bool seven_bit = fits_7bit(body);
    std::string text;
    text.reserve(body.size() + 1024);
    text += "Date: " + date_text(mail.date) + "\r\n";
    text += "From: " + mailbox_text(mail.from) + "\r\n";
    text += "To: " + mailbox_text(mail.to) + "\r\n";
    text += "Subject: " + subject_text(mail.subject) + "\r\n";
    text += "Message-ID: " + message_id(mail) + "\r\n";
    text += "MIME-Version: 1.0\r\n";
    text += "Content-Type: text/plain; charset=utf-8\r\n";
    text += seven_bit ? "Content-Transfer-Encoding: 7bit\r\n"
                      : "Content-Transfer-Encoding: quoted-printable\r\n";
    // RFC 3834: no out-of-office replies to this, please.
    text += "Auto-Submitted: auto-generated\r\n\r\n";
    text += seven_bit ? body : quoted_printable(body);
    return text;
}

}  // namespace insula::mail
