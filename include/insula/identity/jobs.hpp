#pragma once
// What identity enqueues. Kind and input are declared here, below the workflows that run them,
// because identity may not know those; workflows/<name>.hpp derives from the job and adds the
// steps.

#include "insula/core/ids.hpp"
#include "insula/queue/enqueue.hpp"

#include <boost/describe.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace insula::identity {

struct provision_input {
    tenant_id tenant;
    user_id owner;
    std::int32_t cell = 0;
    /// The account was made by the same registration, so its mail address is free again when that
    /// fails.
    bool new_account = false;
};
BOOST_DESCRIBE_STRUCT(provision_input, (), (tenant, owner, cell, new_account))

/// Makes role, schema and tables of a new tenant and opens it.
struct provision_job {
    static constexpr std::string_view kind = "tenant.provision";
    using input = provision_input;
};

struct deletion_input {
    tenant_id tenant;
};
BOOST_DESCRIBE_STRUCT(deletion_input, (), (tenant))

/// Purges a tenant whose grace is over; does nothing when it was restored meanwhile.
struct deletion_job {
    static constexpr std::string_view kind = "tenant.delete";
    using input = deletion_input;
};

/// Both with the tenant's lock key, so that the workflows of one tenant exclude each other as
/// wholes (G34). `delay` is the grace, counted by the database.
queue::enqueue_request provision_request(const provision_input& input);
queue::enqueue_request deletion_request(tenant_id tenant, std::chrono::seconds delay);

struct mail_input {
    /// "verify_email": which template.
    std::string purpose;
    std::string to;
    std::string full_name;
    /// The single-use token of the link, sealed under a key of ours: operators can read inputs.
    /// Empty: a notice without a link.
    std::string sealed_token;
    std::string tenant_name{};  ///< of an invite, like all that follow
    std::string role{};
    std::string inviter_name{};
    std::string inviter_email{};
};
BOOST_DESCRIBE_STRUCT(mail_input, (),
                      (purpose, to, full_name, sealed_token, tenant_name, role, inviter_name,
                       inviter_email))

/// Sends one mail, at least once, always with the same Message-ID. Requests are made by
/// mail_request().
struct mail_job {
    static constexpr std::string_view kind = "mail.send";
    using input = mail_input;
};

struct resend_input {
    std::string email_canonical;
};
BOOST_DESCRIBE_STRUCT(resend_input, (), (email_canonical))

/// Looks the address up and, when there is somebody to verify, sends a new mail. A task, so that
/// the answer to the caller takes the same time whether there is somebody or not.
struct resend_job {
    static constexpr std::string_view kind = "mail.resend_verification";
    using input = resend_input;
};

struct forgot_input {
    std::string email_canonical;
};
BOOST_DESCRIBE_STRUCT(forgot_input, (), (email_canonical))

/// The same for a mail with which a new password can be chosen.
struct forgot_job {
    static constexpr std::string_view kind = "mail.reset_password";
    using input = forgot_input;
};

}  // namespace insula::identity
