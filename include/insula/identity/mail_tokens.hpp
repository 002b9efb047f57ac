#pragma once
#include "insula/core/values.hpp"
#include "insula/identity/context.hpp"

#include <string_view>

namespace insula::identity {

inline constexpr std::string_view verify_email_purpose = "verify_email";
inline constexpr std::chrono::hours verify_email_lifetime{24};

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

/// What is authenticated along with a sealed token.
std::string sealed_about(std::string_view purpose, std::string_view email);

/// Marks the address verified. A repeat with the same token is fine as well. Error:
/// invalid_token_value (unknown, void, expired, or for an address the account no longer has).
runtime::awaitable<result<>> verify_email(context& with, const opaque_token& token, caller from);

/// Enqueues the look-up; the same work whether the address is known or not.
runtime::awaitable<result<>> resend_verification(context& with, const email_address& email,
                                                 caller from);

}  // namespace insula::identity
