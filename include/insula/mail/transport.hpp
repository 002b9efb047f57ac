#pragma once
// Where mail goes.

#include "insula/core/error.hpp"
#include "insula/mail/message.hpp"
#include "insula/runtime/executor.hpp"

namespace insula::mail {

class transport {
public:
    transport() = default;
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;
    virtual ~transport() = default;

    /// Success means that the mail is handed over for good (on disk, or accepted by a server). Safe
    /// to repeat with the same key: at least once. errc::overloaded: try again later (its
    /// internal() says why); any other error will not go away by itself. May be called from any
    /// loop, several at once; the transport outlives it. Cancellation does not stop a delivery that
    /// has begun.
    virtual runtime::awaitable<result<>> send(message mail) = 0;
};

}  // namespace insula::mail
