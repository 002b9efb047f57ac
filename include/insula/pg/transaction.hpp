#pragma once
#include "insula/core/error.hpp"
#include "insula/pg/error.hpp"
#include "insula/pg/pool.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"

#include <concepts>
#include <type_traits>
#include <utility>

namespace insula::pg {

struct transaction_options {
    isolation level = isolation::read_committed;
    bool read_only = false;
    unsigned attempts_max = 5;
};

namespace detail {

template <class R>
struct awaited;
template <class T, class E>
struct awaited<boost::asio::awaitable<T, E>> {
    using type = T;
};
template <class F>
using closure_result = typename awaited<std::invoke_result_t<F&, lease&>>::type;

template <class R>
R failed_result(const pg_error& error) {
    if constexpr (std::same_as<typename R::error_type, pg_error>) {
        return R(boost::system::in_place_error, error);
    } else {
        return R(boost::system::in_place_error, to_error(error));
    }
}

/// Waits before attempt `attempt` (1, 2, …): random in [0, min(5 ms · 2^attempt, 100 ms)).
runtime::awaitable<void> transaction_pause(unsigned attempt, runtime::deadline until);

}  // namespace detail

/// Runs `closure(lease&)` between BEGIN and COMMIT on an exclusive connection and commits when it
/// returns a value; an error rolls back and is returned as it is. The closure returns
/// awaitable<pg_result<T>> or awaitable<result<T>>. The whole closure is repeated, with jitter, at
/// most attempts_max times, when the transaction failed in a way that a repeat can cure
/// (pg_error::retryable): it must therefore have no effects but its SQL. A COMMIT whose answer was
/// lost is never repeated: the error says maybe_committed (as result<T>: overloaded, 503), and the
/// caller looks its own ids up. An exception from the closure leaves the transaction to be rolled
/// back by the pool.
template <class F>
auto in_transaction(pool& connections, transaction_options options, runtime::deadline until,
                    F closure) -> runtime::awaitable<detail::closure_result<F>> {
    using outcome = detail::closure_result<F>;
    for (unsigned attempt = 1;; ++attempt) {
        pg_result<lease> borrowed = co_await connections.acquire(until);
        if (!borrowed) {
            co_return detail::failed_result<outcome>(borrowed.error());
        }
        lease connection = std::move(*borrowed);
        const pg_result<> begun = co_await connection.begin(options.level, options.read_only);
        if (!begun) {
            co_return detail::failed_result<outcome>(begun.error());
        }
        outcome answer = co_await closure(connection);
        pg_error failure;
        bool failed = false;
        if (answer) {
            pg_result<> committed = co_await connection.commit();
            if (committed) {
                co_return answer;
            }
            failure = std::move(committed).error();
            failed = true;
        } else if (connection.failure() != nullptr) {
            failure = *connection.failure();
        }
        const bool again =
            failure.retryable() && attempt < options.attempts_max && !until.expired();
        if (!again) {
            if (failed) {
                co_return detail::failed_result<outcome>(failure);
            }
            (void)co_await connection.rollback();
            co_return answer;
        }
        (void)co_await connection.rollback();
        connection = lease();
        co_await detail::transaction_pause(attempt, until);
    }
}

}  // namespace insula::pg
