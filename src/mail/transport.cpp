#include "insula/mail/transport.hpp"

#include "insula/core/mailboxes.hpp"
#include "insula/observe/log.hpp"
#include "insula/observe/metrics.hpp"

namespace insula::mail {
namespace {

observe::counter& counter_of(observe::metrics& counts, const char* result) {
    return counts.counter("insula_mail_total", "Tries to deliver a mail, by what became of them",
                          {{"result", result}});
}

}  // namespace

transport::transport(observe::metrics& counts)
    : sent_(counter_of(counts, "sent")),
      deferred_(counter_of(counts, "deferred")),
      rejected_(counter_of(counts, "rejected")) {}

runtime::awaitable<delivery> transport::send(message mail, runtime::deadline until) {
    const auto key = mail.key.str();
    // Whose mailbox it is stays out of the log; which provider refuses us is worth knowing.
    const std::string domain(mail.to.address.domain());
    auto done = co_await deliver(std::move(mail), until);
    switch (done.what) {
        case delivery::outcome::sent:
            sent_.add();
            break;
        case delivery::outcome::deferred:
            deferred_.add();
            // An outage with a long queue: the one that tries tells of it, not all of them.
            observe::log(
                done.alarm   ? observe::log_level::error
                : done.tried ? observe::log_level::warn
                             : observe::log_level::debug,
                "mail deferred",
                {{"mail", key}, {"domain", domain}, {"reason", without_mailboxes(done.reason)}});
            break;
        case delivery::outcome::rejected:
            rejected_.add();
            observe::error(
                "mail rejected",
                {{"mail", key}, {"domain", domain}, {"reason", without_mailboxes(done.reason)}});
            break;
    }
    co_return done;
}

}  // namespace insula::mail
