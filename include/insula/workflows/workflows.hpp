#pragma once
#include "insula/identity/capabilities.hpp"
#include "insula/mail/message.hpp"
#include "insula/mail/templates.hpp"
#include "insula/mail/transport.hpp"
#include "insula/queue/registry.hpp"

#include <string>

namespace insula::workflows {

/// What workflows need besides the database connection that the engine gives them. Outlives the
/// engine.
struct services {
    const identity::secret_keys& keys;
    mail::transport& mail;
    const mail::templates& templates;
    std::string public_url;  ///< links in mail begin with it
    mail::mailbox mail_from;
};

/// Every workflow this version knows: one line each in registry.cpp.
queue::registry all(const services& with);

}  // namespace insula::workflows
