#include "smtp_dialogue.hpp"

#include "encode.hpp"

#include "insula/core/text.hpp"

#include <algorithm>
#include <array>

namespace insula::mail {
namespace {

constexpr std::size_t reply_bytes_max = 500;
// Shorter words of a mail are in every reply ("mail", "address"); tokens have 43 characters.
constexpr std::size_t telling_size_min = 16;

bool is_word(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '%';
}

// "250-" or "250 "; 0: no such thing.
int code_of(std::string_view line) noexcept {
    int code = 0;
    for (std::size_t i = 0; i < 3; ++i) {
        if (i >= line.size() || line[i] < '0' || line[i] > '9') {
            return 0;
        }
        code = code * 10 + (line[i] - '0');
    }
    return code;
}

// RFC 4954 section 6 and RFC 3207: not this mail is refused but our way of asking, and that can be
// mended in the configuration.
bool is_about_login(int code) noexcept {
    return code == 530 || code == 534 || code == 535 || code == 538;
}

std::string_view name(smtp_stage stage) noexcept {
    constexpr std::array<std::string_view, 6> names{"the greeting",  "the login", "the sender",
                                                    "the recipient", "DATA",      "the content"};
    return names[static_cast<std::size_t>(stage)];
}

std::string sentence(const smtp_dialogue& said, smtp_end end, std::string_view trouble) {
    std::string text;
    if (said.code() >= 400) {
        text = "answer to " + std::string(name(said.stage())) + ": " + said.text();
    } else {
        text = "at " + std::string(name(said.stage())) + ": " + std::string(trouble);
    }
    if (end == smtp_end::login_denied) {
        return "the server refuses the login in INSULA_SMTP_URL; " + text;
    }
    return end == smtp_end::tls_failed ? "no TLS as configured; " + text : text;
}

}  // namespace

void smtp_dialogue::command(std::string_view line) {
    if (settled_) {
        return;
    }
    if (line.starts_with("MAIL FROM:")) {
        stage_ = smtp_stage::sender;
        lacks_utf8_ = needs_utf8_ && line.find(" SMTPUTF8") == std::string_view::npos;
    } else if (line.starts_with("RCPT TO:")) {
        stage_ = smtp_stage::recipient;
    } else if (line.starts_with("DATA") && stage_ == smtp_stage::recipient) {
        stage_ = smtp_stage::data;
    } else if (line.starts_with("AUTH ") && stage_ == smtp_stage::greeting) {
        stage_ = smtp_stage::login;
    } else if (line.starts_with("QUIT")) {
        settled_ = true;
    }
}

bool smtp_dialogue::reply(std::string_view line) {
    if (settled_) {
        return true;
    }
    if (complete_) {
        text_.clear();
    }
    if (text_.size() < 4 * reply_bytes_max) {
        text_ += text_.empty() ? "" : " ";
        text_ += trim(line);
    }
    complete_ = line.size() < 4 || line[3] != '-';
    if (!complete_) {
        return true;
    }
    code_ = code_of(line);
    // A refused EHLO or AUTH may be followed by another way; a refusal from here on is the end.
    settled_ = code_ >= 400 && stage_ >= smtp_stage::sender;
    if (stage_ == smtp_stage::data && code_ == 354) {
        stage_ = smtp_stage::content;
    }
    return !lacks_utf8_ || settled_;
}

std::string smtp_dialogue::text() const {
    return one_line(utf8_prefix(one_line(text_), reply_bytes_max));
}

std::string without_links(std::string_view text, std::string_view mail) {
    std::string out;
    while (!text.empty()) {
        const auto space = std::min(text.find(' '), text.size());
        const auto word = text.substr(0, space);
        bool telling = word.find("://") != std::string_view::npos ||
                       word.find("token=") != std::string_view::npos;
        for (std::size_t i = 0; i < word.size() && !telling;) {
            std::size_t end = i;
            while (end < word.size() && is_word(word[end])) {
                ++end;
            }
            // Enough of it is in the mail: a server may quote a part.
            for (auto at = i; at + telling_size_min <= end && !telling; ++at) {
                telling = mail.find(word.substr(at, telling_size_min)) != std::string_view::npos;
            }
            i = end + 1;
        }
        out += telling ? std::string_view("[link]") : word;
        out += space < text.size() ? " " : "";
        text.remove_prefix(std::min(space + 1, text.size()));
    }
    return out;
}

smtp_attempt judge(const smtp_dialogue& said, smtp_end end, std::string_view trouble,
                   std::string_view mail) {
    if (end == smtp_end::done) {
        return {};
    }
    if (said.lacks_utf8()) {
        return {delivery::rejected("the mail server does not offer SMTPUTF8, which this address "
                                   "needs"),
                false};
    }
    if (end != smtp_end::login_denied && is_about_login(said.code())) {
        end = smtp_end::login_denied;
    }
    const auto reason = without_links(sentence(said, end, trouble), mail);
    const bool about_this_mail = said.stage() >= smtp_stage::sender && said.code() >= 400 &&
                                 said.code() != 421 && end == smtp_end::broken;
    if (about_this_mail && said.code() >= 500) {
        return {delivery::rejected(reason), false};
    }
    smtp_attempt attempt{delivery::deferred(reason), false};
    attempt.result.alarm = end == smtp_end::login_denied || end == smtp_end::tls_failed;
    attempt.server_in_trouble = !about_this_mail && end != smtp_end::stopped;
    return attempt;
}

}  // namespace insula::mail
