#pragma once
// What was said between us and the server in one delivery, and what that means. No I/O: a session
// tells it the commands and replies that pass by, and tests script them.

#include "insula/mail/transport.hpp"

#include <string>
#include <string_view>

namespace insula::mail {

/// How far a delivery got: what the last reply answers to.
enum class smtp_stage {
    greeting,   ///< connecting, EHLO, STARTTLS
    login,      ///< AUTH
    sender,     ///< MAIL FROM
    recipient,  ///< RCPT TO
    data,       ///< DATA
    content,    ///< the mail itself
};

/// How the library says the transfer ended.
enum class smtp_end {
    done,
    login_denied,
    tls_failed,  ///< not offered, refused, or a certificate that does not fit
    stopped,     ///< by us, because the process ends
    broken,      ///< anything else: no connection, a time-out, a refusal
};

class smtp_dialogue {
public:
    /// `needs_utf8`: the mail has an address beyond ASCII, which a server without SMTPUTF8 must not
    /// get.
    explicit smtp_dialogue(bool needs_utf8) : needs_utf8_(needs_utf8) {}

    /// A command line that was sent.
    void command(std::string_view line);
    /// A line that the server sent. False: end it here.
    [[nodiscard]] bool reply(std::string_view line);

    [[nodiscard]] smtp_stage stage() const noexcept { return stage_; }
    /// Of the last complete reply, or of the refusal; 0: none.
    [[nodiscard]] int code() const noexcept { return code_; }
    /// That reply as one line, in printable ASCII or �, shortened.
    [[nodiscard]] std::string text() const;
    /// The mail is refused, whatever follows.
    [[nodiscard]] bool refused() const noexcept { return settled_ && code_ >= 400; }
    [[nodiscard]] bool lacks_utf8() const noexcept { return lacks_utf8_; }

private:
    bool needs_utf8_;
    bool lacks_utf8_ = false;
    bool settled_ = false;  // the server has refused, or we are leaving: nothing after counts
    bool complete_ = true;  // the next line begins a new reply
    smtp_stage stage_ = smtp_stage::greeting;
    int code_ = 0;
    std::string text_;
};

/// One delivery as it ended.
struct smtp_attempt {
    delivery result;
    /// Not this mail but the server: others need not try at the same time.
    bool server_in_trouble = false;
};

/// `trouble`: the library's words. `mail`: the text that was sent, which must not come back in a
/// reason.
[[nodiscard]] smtp_attempt judge(const smtp_dialogue& said, smtp_end end, std::string_view trouble,
                                 std::string_view mail);

/// The text without anything that is a link, or a long word of the mail: some servers quote what
/// they refuse, and a link holds a token.
[[nodiscard]] std::string without_links(std::string_view text, std::string_view mail);

}  // namespace insula::mail
