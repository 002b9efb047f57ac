// Leases: transactions on exclusive connections, and how such a connection comes back.
#include "pg/detail/pool_core.hpp"
#include "pg/detail/pool_parts.hpp"
#include "pg/detail/retry.hpp"

#include "insula/observe/log.hpp"
#include "insula/runtime/post.hpp"

namespace insula::pg::detail {
namespace {

using transaction = lease_state::transaction;
constexpr std::chrono::seconds clean_up_time{1};

pg_error not_in_time() {
    return {.state = sqlstate::query_canceled, .message = "no answer by the deadline"};
}

// Nothing cleans prepared names up when a lease comes back (DISCARD would take the pool's own), so
// whoever came next would meet them.
void refuse_own_names(const unit& work) {
    for (const unit::entry& e : work.entries()) {
        std::string_view sql = e.sql();
        if (is_word(next_word(sql), "prepare")) {
            throw std::logic_error(std::string("prepared names belong to the pool: ") + e.name);
        }
    }
}

}  // namespace

// What the server says about the transaction, after something of the lease has ended.
void pool_core::settle(lease_state& on, const std::optional<pg_error>& error) const {
    if (error && !on.failure) {
        on.failure = *error;
    }
    if (!on.connection->usable()) {
        on.phase = transaction::none;
        return;
    }
    switch (on.connection->transaction_status()) {
        case PQTRANS_INTRANS:
            on.phase = transaction::open;
            return;
        case PQTRANS_INERROR:
            on.phase = transaction::failed;
            return;
        default:
            on.phase = transaction::none;
    }
}

runtime::awaitable<pg_result<results>> pool_core::exec(std::shared_ptr<lease_state> on, unit work,
                                                       unit_options options, bool commit) {
    refuse_bugs(work, false);
    refuse_own_names(work);
    if (on->spoiled) {
        co_return *on->spoiled;
    }
    const auto what = std::make_shared<request>(home_, std::move(work), options, on->until);
    pool_counters::add(counters_->units);
    const bool begins = on->phase == transaction::pending;
    const bool open = on->phase == transaction::open || on->phase == transaction::failed;
    what->commit = commit && on->phase != transaction::none;
    what->commits = what->commit || on->phase == transaction::none;
    // Below zero: its statements set their limits themselves.
    what->preamble = options.lock_timeout.count() >= 0 || what->work.scope();
    if (begins) {
        what->begin = on->begin_sql;
    }
    for (;;) {
        on->last = what;
        on->connection->send(what);
        if (!what->finished) {
            (void)co_await what->done.wait(with_grace(what->until));
        }
        if (!answered(*what)) {
            on->spoiled = not_in_time();
            on->spoiled->maybe_committed = what->commits;
            on->spoiled->backend = on->connection->backend();
            on->failure = on->spoiled;
            co_return *on->spoiled;
        }
        settle(*on, std::nullopt);
        if (!what->error) {
            break;
        }
        const verdict next =
            decide(*what->error, {.transaction_open = open, .repeated = !what->trust_pending});
        if (next != verdict::repeat) {
            settle(*on, what->error);
            co_return std::move(*what->error);
        }
        pool_counters::add(counters_->reprepares);
        if (on->phase != transaction::none) {
            const pg_result<> undone = co_await command(*on, ending::rollback);
            if (!undone) {
                co_return undone.error();
            }
        }
        what->trust_pending = false;
        what->rearm();
    }
    if (what->rolled_back) {
        const pg_error failed{.state = sqlstate::in_failed_transaction,
                              .message = "COMMIT of a failed transaction rolled it back"};
        settle(*on, failed);
        co_return failed;
    }
    co_return std::move(what->answers);
}

runtime::awaitable<pg_result<>> pool_core::command(lease_state& on, ending end) {
    unit work;
    auto what = std::make_shared<request>(home_, std::move(work), unit_options{}, on.until);
    what->preamble = false;
    what->commit = what->commits = end == ending::commit;
    if (end == ending::rollback) {
        what->begin = "rollback";  // a command without parameters or results
    }
    on.last = what;
    on.connection->send(what);
    if (!what->finished) {
        (void)co_await what->done.wait(with_grace(what->until));
    }
    if (!answered(*what)) {
        on.spoiled = not_in_time();
        on.spoiled->maybe_committed = what->commits;
        on.spoiled->backend = on.connection->backend();
        on.failure = on.spoiled;
        co_return *on.spoiled;
    }
    settle(on, what->error);
    if (what->error) {
        co_return std::move(*what->error);
    }
    if (what->rolled_back) {
        co_return pg_error{.state = sqlstate::in_failed_transaction,
                           .message = "COMMIT of a failed transaction rolled it back"};
    }
    co_return pg_result<>();
}

runtime::awaitable<pg_result<>> pool_core::commit(std::shared_ptr<lease_state> on) {
    if (on->spoiled) {
        co_return *on->spoiled;
    }
    switch (on->phase) {
        case transaction::pending:
            on->phase = transaction::none;
            co_return pg_result<>();
        case transaction::none:
            // Committed with its last unit; or it failed at that, and somebody did not look.
            if (on->failure) {
                co_return *on->failure;
            }
            co_return pg_result<>();
        case transaction::failed: {
            const pg_error why = on->failure.value_or(
                pg_error{.state = sqlstate::in_failed_transaction, .message = "already failed"});
            (void)co_await rollback(on);
            co_return why;
        }
        case transaction::open:
            break;
    }
    co_return co_await command(*on, ending::commit);
}

runtime::awaitable<pg_result<>> pool_core::rollback(std::shared_ptr<lease_state> on) {
    if (on->spoiled) {
        co_return *on->spoiled;
    }
    if (on->phase == transaction::pending || on->phase == transaction::none) {
        on->phase = transaction::none;
        co_return pg_result<>();
    }
    co_return co_await command(*on, ending::rollback);
}

runtime::awaitable<pg_result<>> pool_core::script(std::shared_ptr<lease_state> on,
                                                  std::string sql) {
    if (on->phase == transaction::pending) {
        auto begun = co_await exec(on, unit(), lease::exclusive_defaults(), false);
        if (!begun) {
            co_return std::move(begun).error();
        }
    }
    if (on->spoiled) {
        co_return *on->spoiled;
    }
    pg_result<> done = co_await on->connection->script(sql, with_grace(on->until));
    settle(*on, done ? std::nullopt : std::optional<pg_error>(done.error()));
    co_return done;
}

void pool_core::take_back(std::shared_ptr<lease_state> returned) {
    if (!tasks_.spawn(reclaim(returned), "pg.reclaim")) {
        returned->connection->shut_down();
    }
}

runtime::awaitable<void> pool_core::reclaim(std::shared_ptr<lease_state> returned) {
    const shared_connection conn = std::exchange(returned->connection, nullptr);
    const bool clean = co_await make_clean(*conn, returned->last);
    const bool unwanted = closed_ || (budget_.wanted() && waiters_.empty());
    if (clean && !unwanted && !recycle_due(*conn)) {
        machine_.given_back(returned->node, backoff::clock::now());
    } else {
        conn->shut_down();
        exclusive_[returned->node].reset();
        machine_.dropped(returned->node);
    }
    changed_.set();
    serve();
}

// Idle as PostgreSQL sees it, without a transaction, locks, temporary tables, settings or channels
// of whoever had it.
runtime::awaitable<bool> pool_core::make_clean(connection& conn, const request_ptr& last) {
    if (!conn.usable()) {
        co_return false;
    }
    if (conn.in_flight() != 0) {
        // Nobody waits for the answer any more. A cancel may hit what comes after, so nothing will.
        static constexpr statement cancel{"pg.cancel", "select pg_catalog.pg_cancel_backend($1)"};
        const auto until = runtime::deadline::after(clean_up_time);
        unit work;
        work.add(cancel, conn.backend_pid());
        if (!closed_ && options_.shared_max > 0) {
            (void)co_await run(std::move(work), unit_options{}, until);
        }
        if (last && !last->finished) {
            (void)co_await last->done.wait(until);
        }
        co_return false;
    }
    // One text over the simple protocol: 20 µs of the backend instead of 31 as extended statements.
    std::string text = conn.transaction_status() == PQTRANS_IDLE ? "" : "rollback;";
    text +=
        "select pg_catalog.pg_advisory_unlock_all(); close all; unlisten *; reset all; "
        "reset session authorization; discard temp; discard sequences; ";
    text += session_sql;
    const auto done = co_await conn.script(text, runtime::deadline::after(clean_up_time),
                                           request::purpose::maintenance);
    co_return done&& conn.idle();
}

}  // namespace insula::pg::detail
