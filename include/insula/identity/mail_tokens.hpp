#pragma once
#include "insula/core/values.hpp"
#include "insula/identity/context.hpp"
#include "insula/queue/enqueue.hpp"

#include <string>
#include <string_view>

namespace insula::identity {

// What mails are for; each has a template of its name, and those with a link a page:
// /reset-password.
inline constexpr std::string_view verify_email_purpose = "verify_email";
inline constexpr std::string_view reset_password_purpose = "reset_password";
inline constexpr std::string_view accept_invite_purpose = "accept_invite";
inline constexpr std::string_view password_changed_purpose = "password_changed";  ///< a notice

/// How long the token in such a mail is good for; a notice is worth sending for as long.
constexpr std::chrono::hours lifetime_of(std::string_view purpose) {
    if (purpose == reset_password_purpose) {
        return std::chrono::hours(1);
    }
    return std::chrono::hours(purpose == accept_invite_purpose ? 7 * 24 : 24);
}

/// One mail. Who makes the token stores its hash (secret_keys::stored_form) in the same unit.
struct mail_content {
    std::string_view purpose;
    std::string to;         ///< as stored: mail goes to no other address
    std::string full_name;  ///< may be empty: somebody who has no account yet
    secret_string token{};  ///< empty: a notice without a link
    std::string tenant_name{};
    std::string role{};
    std::string inviter_name{};  ///< who has an invite sent
    std::string inviter_email{};
};

/// For queue::add_enqueue, in the transaction that makes the mail due. The token is sealed.
queue::enqueue_request mail_request(const secret_keys& keys, const mail_content& what);

/// Who gets a mail with a single-use token, and for what.
struct mail_recipient {
    user_id user;
    std::string email;  ///< as stored: mail goes to no other address
    std::string email_canonical;
    std::string full_name;
};

/// Adds to a unit: older tokens of the purpose become void, a new one is stored as its hash, and
/// the mail is enqueued. The token itself exists only in the task's input, sealed.
void add_verification_mail(pg::unit& unit, const secret_keys& keys, const mail_recipient& to);

/// The same for a mail with which a new password can be chosen.
void add_reset_mail(pg::unit& unit, const secret_keys& keys, const mail_recipient& to);

/// Adds the notice that the password is another one now.
void add_password_notice(pg::unit& unit, const secret_keys& keys, const mail_recipient& to);

/// What is authenticated along with a sealed token.
std::string sealed_about(std::string_view purpose, std::string_view email);

/// Marks the address verified. A repeat with the same token is fine as well. Error:
/// invalid_token_value (unknown, void, expired, or for an address the account no longer has).
runtime::awaitable<result<>> verify_email(context& with, const opaque_token& token, caller from);

/// Enqueues the look-up; the same work whether the address is known or not.
runtime::awaitable<result<>> resend_verification(context& with, const email_address& email,
                                                 caller from);

}  // namespace insula::identity
