#pragma once
// Idempotency-Key for routes that create (API.md section 1). Such a route says `.creates = true` in
// its row, asks idempotency_of(), and hands what it gets to the transaction that creates.
#include "endpoint.hpp"

#include "insula/identity/idempotency.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace insula::api {

/// An answer that is known before anything is sent, but for the time of the transaction: the ids in
/// it are made here, and everything else is the client's own.
struct creation_answer {
    unsigned status = 201;
    std::string location;
    std::string etag{};  ///< empty: none
    std::string body;    ///< with created_at_mark where that time goes

    std::string stored() const;
    static std::optional<creation_answer> parse(std::string_view stored);
    http::response at(timestamp created_at) const;
};

/// A JSON value, for json_writer::raw(). No text in a body can look like it, because JSON has no
/// bare control characters.
inline constexpr std::string_view created_at_mark = "\"\x01\"";
/// The same for a time so long after that one.
std::string time_mark(std::chrono::seconds after);

/// nullopt: the client sent no key. 422 for one that is none. The key is good for this path and
/// this caller only: user, tenant and operator behind it, or anybody.
result<std::optional<identity::idempotency>> idempotency_of(const anonymous_context& c);
result<std::optional<identity::idempotency>> idempotency_of(const user_context& c);

/// True: a repeat, which does nothing but give the first answer again, and so is not counted by a
/// limit on what is done. False without a key.
runtime::awaitable<result<bool>> repeated(anonymous_context& c,
                                          const std::optional<identity::idempotency>& key);

/// What was answered the first time.
answer give_again(anonymous_context& c, const identity::idempotency& key);
answer give_again(member_context& c, const identity::idempotency& key);

}  // namespace insula::api
