#pragma once
// One mail: plain text, one receiver. RFC 5322 (form), 2045 (body), 2047 (headers beyond ASCII),
// 6532 (addresses beyond ASCII). Every part is a checked type or encoded on the way out, so nothing
// that a user typed can add a header or a receiver.

#include "insula/core/time.hpp"
#include "insula/core/values.hpp"

#include <string>
#include <string_view>

namespace insula::mail {

/// What makes a repeated delivery the same mail: the Message-ID's left part, and the name of its
/// file. The caller derives it from its task, so that every attempt has the same.
class message_key {
public:
    static constexpr std::size_t size_max = 100;

    /// 1–100 characters `[A-Za-z0-9._-]`, neither beginning nor ending with a dot, no two dots in a
    /// row. Codes: too_short, too_long, invalid_message_key.
    [[nodiscard]] static value_result<message_key> parse(std::string_view text);

    [[nodiscard]] const std::string& str() const noexcept { return text_; }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
    bool operator==(const message_key&) const = default;

private:
    std::string text_;
};

/// An address with the name that is shown for it.
struct mailbox {
    std::string name;  ///< any text; encoded when written
    email_address address;

    /// "Insula <no-reply@example.org>", "\"Insula, Ltd\" <…>" or the bare address: what an operator
    /// writes into the configuration. Codes: those of email_address, invalid_mailbox.
    [[nodiscard]] static value_result<mailbox> parse(std::string_view text);
};

struct message {
    message_key key;
    mailbox from;
    mailbox to;
    std::string subject;
    std::string body;  ///< UTF-8, lines ended by \n or \r\n
    timestamp date;    ///< the same at each attempt, or the mail is not the same
};

/// As typed before the @, so that the mail reaches the very box its owner named; the domain in
/// ASCII, which every server understands. For the envelope and the header alike.
[[nodiscard]] std::string bare_address(const email_address& address);

/// The Message-ID with its angle brackets: key @ the sender's domain.
[[nodiscard]] std::string message_id(const message& mail);

/// The whole mail with CRLF line ends: 7bit when the body is ASCII with lines that fit, else
/// quoted-printable.
[[nodiscard]] std::string to_text(const message& mail);

}  // namespace insula::mail
