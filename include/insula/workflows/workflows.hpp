#pragma once
#include "insula/identity/capabilities.hpp"
#include "insula/mail/message.hpp"
#include "insula/mail/templates.hpp"
#include "insula/mail/transport.hpp"
#include "insula/queue/recurring.hpp"
#include "insula/queue/registry.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace insula::workflows {

/// What workflows need besides the database connection that the engine gives them. Outlives the
/// engine.
struct services {
    const identity::secret_keys& keys;
    mail::transport& mail;
    const mail::templates& templates;
    std::string public_url;  ///< links in mail begin with it
    mail::mailbox mail_from;
    /// A registration that was not verified for so long is purged; none: verifying is not required.
    std::optional<std::chrono::seconds> unverified_ttl{};
};

/// Every workflow this version knows: one line each in registry.cpp.
queue::registry all(const services& with);

/// What runs again and again, for engine_options: one line each in registry.cpp.
std::vector<queue::recurring_task> recurring(const services& with);

}  // namespace insula::workflows
