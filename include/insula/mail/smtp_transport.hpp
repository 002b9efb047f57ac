#pragma once
// Mail over SMTP to one relay. Deliveries block, so each runs on one of a few threads of this
// object, never on a loop.

#include "insula/mail/smtp_server.hpp"
#include "insula/mail/transport.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace insula::mail {

struct smtp_options {
    /// Threads and connections. Who calls from a limited number of places (the queue's workers)
    /// gives fewer than those, so that a server that hangs never holds all of them.
    unsigned deliveries_max = 3;
    unsigned waiting_max = 64;                        ///< more are deferred at once
    std::chrono::milliseconds connect_limit{10'000};  ///< name look-up to the end of the login
    /// A delivery older than this means a server in trouble; nobody waits longer for a thread.
    std::chrono::milliseconds patience{2'000};
};

/// While the server is in trouble (it does not answer, refuses connections or our login) one
/// delivery at a time tries it, and all others are deferred at once. Any word of it about a mail
/// ends that.
class smtp_transport final : public transport {
public:
    smtp_transport(smtp_server server, smtp_options options, observe::metrics& counts);
    /// Ends what is going on, within about a second.
    ~smtp_transport() override;

    void close(runtime::deadline last) override;

private:
    struct line;

    /// Sent: the server has taken it. Deferred: 4xx, no connection, no answer, no login, no TLS.
    /// Rejected: 5xx to this mail, or an address beyond ASCII and no SMTPUTF8.
    runtime::awaitable<delivery> deliver(message mail, runtime::deadline until) override;

    std::unique_ptr<line> line_;
};

/// Connects, greets, encrypts and logs in, as a delivery would. Blocks at most for the limit. An
/// outcome of sent means that all is well.
[[nodiscard]] delivery check_smtp_server(const smtp_server& server, const mailbox& from,
                                         std::chrono::milliseconds limit);

}  // namespace insula::mail
