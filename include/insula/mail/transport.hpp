#pragma once
// Where mail goes.

#include "insula/mail/message.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"

#include <string>

namespace insula::observe {
class counter;
class metrics;
}  // namespace insula::observe

namespace insula::mail {

/// What became of one try to deliver a mail.
struct delivery {
    enum class outcome {
        sent,      ///< handed over for good: on disk, or accepted by a server
        deferred,  ///< not now; the same mail may be tried again
        rejected,  ///< never: trying again cannot help
    };
    outcome what = outcome::sent;
    /// For operators and the log: the server's reply, or what went wrong. Has no link of the mail.
    std::string reason{};
    /// Somebody must mend the configuration (a login is refused, a certificate does not fit).
    bool alarm = false;
    bool tried = true;  ///< false: nothing was sent, others have found the trouble

    static delivery deferred(std::string why) { return {outcome::deferred, std::move(why)}; }
    static delivery not_tried(std::string why) {
        return {outcome::deferred, std::move(why), false, false};
    }
    static delivery rejected(std::string why) { return {outcome::rejected, std::move(why)}; }
    [[nodiscard]] bool ok() const noexcept { return what == outcome::sent; }
};

class transport {
public:
    /// Counts insula_mail_total{result=sent|deferred|rejected} there.
    explicit transport(observe::metrics& counts);
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;
    virtual ~transport() = default;

    /// One try, counted and, when it fails, logged: rejected mail and what needs mending as errors.
    /// Safe to repeat with the same key: at least once. Comes back at `until` or soon after. May be
    /// called from any loop, several at once; the transport outlives it. Cancelled, it comes back
    /// at once, and what has begun may still be delivered.
    runtime::awaitable<delivery> send(message mail, runtime::deadline until);

    /// The process is ending: nothing new begins, and what has not come to an end at `last` is
    /// given up as deferred. From any thread.
    virtual void close(runtime::deadline last) { static_cast<void>(last); }

private:
    virtual runtime::awaitable<delivery> deliver(message mail, runtime::deadline until) = 0;

    observe::counter& sent_;
    observe::counter& deferred_;
    observe::counter& rejected_;
};

}  // namespace insula::mail
