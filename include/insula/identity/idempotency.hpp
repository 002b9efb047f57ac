#pragma once
// Requests that create, sent again with the same Idempotency-Key: the first answer is given again
// (G23). It is stored by the transaction that creates, or not at all, so an answer exists exactly
// when what it tells of does; failures are not stored, and do not use the key up.

#include "insula/core/error.hpp"
#include "insula/identity/capabilities.hpp"
#include "insula/pg/pool.hpp"
#include "insula/tenancy/scope.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace insula::identity {

/// Raised by control.idempotency_take_in().
inline constexpr pg::sqlstate idempotency_running{"II001"};
inline constexpr pg::sqlstate idempotency_other_body{"II002"};
inline constexpr pg::sqlstate idempotency_answered{"II003"};

struct stored_answer {
    std::string text;
    timestamp created_at;  ///< of the transaction that stored it
};

/// One request with a key. Key and body are known to the database as keyed hashes only, the answer
/// as a sealed text.
class idempotency {
public:
    /// `route` and `caller` are what the key is good for; `key` is 1 to 128 printable characters.
    /// `keys` outlives this.
    idempotency(const secret_keys& keys, std::string_view route, std::string_view caller,
                std::string_view key, std::string_view body);

    /// Adds the unit's first statement behind the assertion of the session, with what will be
    /// answered. Nobody waits: one whose turn it is not has its unit ended by an error.
    void add_to(pg::unit& work, std::string_view answer) const;
    void add_to(tenancy::tenant_unit& work, std::string_view answer) const;

    /// What that error means: idempotency_in_progress, idempotency_key_reused; nullopt for every
    /// other failure. When it means that there is an answer already, answered() is true from then
    /// on and the error returned is never shown.
    std::optional<error> explain(const pg::pg_error& failure);
    bool answered() const noexcept { return answered_; }

    /// True: there is an answer already, to this body or another one, so nothing will be done. (A
    /// look: two that come at once may both be told false.)
    runtime::awaitable<result<bool>> repeated(pg::pool& control, runtime::deadline until) const;

    /// Error: overloaded, also when the answer has expired at this very moment.
    runtime::awaitable<result<stored_answer>> read(pg::pool& control,
                                                   runtime::deadline until) const;
    runtime::awaitable<result<stored_answer>> read(tenancy::tenant_scope& scope) const;

private:
    bytes sealed(std::string_view answer) const;
    result<stored_answer> unsealed(const pg::result_set& rows) const;

    const secret_keys& keys_;
    digest_256 key_hash_;
    digest_256 fingerprint_;
    bool answered_ = false;
};

/// How a function that creates a Made does it once: the client's key, and the text of the answer
/// from what is about to be made (all but its created_at). Without a key it costs nothing.
template <class Made>
struct once_only {
    idempotency* key = nullptr;
    std::function<std::string(const Made&)> answer{};

    void add_to(pg::unit& work, const Made& made) const {
        if (key != nullptr) {
            key->add_to(work, answer(made));
        }
    }
    std::optional<error> explain(const pg::pg_error& failure) const {
        return key != nullptr ? key->explain(failure) : std::nullopt;
    }
};

}  // namespace insula::identity
