// Shared connections, opening connections, and who gets one.
#include "pg/detail/pool_core.hpp"

#include "pg/detail/pool_parts.hpp"
#include "pg/detail/retry.hpp"

#include "insula/core/random.hpp"
#include "insula/observe/log.hpp"
#include "insula/pg/transaction.hpp"
#include "insula/runtime/post.hpp"

#include <limits>
#include <stdexcept>

namespace insula::pg::detail {
namespace {

// Another shared connection is opened when even the shortest pipeline is this deep: below, sharing
// is faster than another backend.
constexpr std::size_t grow_at = 16;
// A statement that is cut off by its own timeout is answered a little after the deadline; that
// answer is better than "outcome unknown".
constexpr std::chrono::milliseconds answer_grace{100};
constexpr unsigned attempts_alone_max = 5;

/// It was a pause in itself; and nothing was refused.
bool hung(backoff::clock::time_point began) {
    return backoff::clock::now() - began >= attempt_patience;
}

double random_unit() {
    return static_cast<double>(random_u64() >> 11) / static_cast<double>(1ULL << 53);
}

}  // namespace

runtime::deadline with_grace(runtime::deadline until) {
    return until.is_never() ? until : runtime::deadline{until.at + answer_grace};
}

pool_core::pool_core(runtime::loop& home, pool_options options, budget_core& budget,
                     observe::metrics& metrics, runtime::cpu_pool* resolver)
    : home_(home),
      options_(std::move(options)),
      budget_(budget),
      counters_(register_counters(metrics, options_.name)),
      resolver_(resolver),
      tasks_(home, "pg." + options_.name),
      wake_(home),
      changed_(home),
      shared_(options_.shared_max),
      views_(options_.shared_max),
      shared_backoff_(options_.backoff_max),
      machine_(options_.exclusive_max, options_.backoff_max),
      exclusive_(options_.exclusive_max) {
    register_limits(metrics, options_);
    budget_.join(*this);
}

pool_core::~pool_core() {
    budget_.leave(*this);
}

void pool_core::ensure_started() {
    if (!started_) {
        started_ = true;
        tasks_.spawn(upkeep(), "pg.upkeep");
    }
}

void pool_core::refuse_bugs(const unit& work, bool shared) const {
    for (const unit::entry& e : work.entries()) {
        if (shared && e.never_shared) {
            throw std::logic_error(std::string("needs a lease, not a shared connection: ") +
                                   e.name);
        }
        if (e.scoped && !work.scope()) {
            throw std::logic_error(std::string("tenant SQL without a tenant: ") + e.name);
        }
        if (e.params_end - e.params_begin > 65'535 ||
            e.sql().find('\0') != std::string_view::npos) {
            throw std::logic_error(std::string("cannot be sent to PostgreSQL: ") + e.name);
        }
    }
}

pg_error pool_core::out_of_time() const {
    if (last_failure_) {
        return *last_failure_;
    }
    return {.state = sqlstate::deadline_passed,
            .message = "the deadline passed while waiting for a connection"};
}

bool pool_core::answered(const request& what) {
    if (!what.finished) {
        budget_.fell_silent();
    }
    return what.finished;
}

runtime::awaitable<pg_result<results>> pool_core::run(unit work, unit_options options,
                                                      runtime::deadline until) {
    refuse_bugs(work, true);
    ensure_started();
    const auto what = std::make_shared<request>(home_, std::move(work), options, until);
    pool_counters::add(counters_->units);
    for (;;) {
        if (closed_) {
            co_return pg_error{.state = sqlstate::pool_closed, .message = "shutting down"};
        }
        if (until.expired()) {
            co_return out_of_time();
        }
        const leave_unsent guard{*this, *what};
        unsent_.push(*what);
        serve_shared();
        if (what->queued()) {
            if (unsent_.size() + waiters_.size() > options_.waiters_max) {
                pool_counters::add(counters_->refused);
                co_return pg_error{.state = sqlstate::pool_exhausted,
                                   .message = "too many requests wait for a connection"};
            }
            (void)co_await what->done.wait(until);
            if (what->queued()) {
                co_return out_of_time();
            }
        }
        if (!what->finished) {
            (void)co_await what->done.wait(with_grace(until));
        }
        if (!answered(*what)) {
            co_return pg_error{.state = sqlstate::query_canceled,
                               .message = "no answer by the deadline",
                               .maybe_committed = true};
        }
        if (!what->error) {
            co_return std::move(what->answers);
        }
        switch (decide(*what->error, {.shared = true,
                                      .repeated = !what->trust_pending,
                                      .may_go_exclusive = options.allow_exclusive_retry})) {
            case verdict::deliver:
                co_return std::move(*what->error);
            case verdict::repeat:
                pool_counters::add(counters_->reprepares);
                what->trust_pending = false;
                what->rearm();
                continue;
            case verdict::repeat_exclusive:
                break;
        }
        break;
    }
    pool_counters::add(counters_->lock_retries);
    options.lock_timeout = std::chrono::milliseconds{0};
    co_return co_await run_alone(what->work, options, until);
}

// Where it may wait for locks, and so may meet a deadlock: the unit is a whole transaction and may
// be run again, but not for ever.
runtime::awaitable<pg_result<results>> pool_core::run_alone(const unit& work, unit_options options,
                                                            runtime::deadline until) {
    for (unsigned attempt = 1;; ++attempt) {
        auto borrowed = co_await acquire(until);
        if (!borrowed) {
            co_return std::move(borrowed).error();
        }
        lease keep = std::move(*borrowed);
        auto answer = co_await exec(keep.state(), work, options, false);
        if (answer || !lost_to_others(answer.error()) || attempt == attempts_alone_max ||
            until.expired()) {
            co_return answer;
        }
        keep = lease();
        co_await transaction_pause(attempt, until);
    }
}

pool_core::shared_connection pool_core::pick_shared() {
    for (std::size_t i = 0; i < shared_.size(); ++i) {
        shared_place& p = shared_[i];
        // Nobody else shall queue behind a peer that hangs, or that may.
        if (p.open && (p.open->stalled(home_.now(), answer_grace) || cut_off(*p.open))) {
            retire_shared(p);
        }
        const bool hangs = p.connecting && p.since + attempt_patience <= home_.now();
        views_[i] = {p.open != nullptr && p.open->usable(), p.second || (p.connecting && !hangs),
                     p.open ? p.open->in_flight() : 0};
    }
    const shared_choice choice = choose_shared(views_, options_.pipeline_max, grow_at);
    if (choice.open != shared_choice::none) {
        begin_open_shared(choice.open);
    }
    return choice.use == shared_choice::none ? nullptr : shared_[choice.use].open;
}

void pool_core::serve_shared() {
    while (!unsent_.empty()) {
        const shared_connection open = pick_shared();
        if (!open) {
            break;
        }
        const request_ptr next = unsent_.pop()->shared_from_this();
        open->send(next);
    }
    update_gauges();
}

void pool_core::begin_open_shared(std::size_t place) {
    const auto now = backoff::clock::now();
    if (closed_ || shared_[place].open != nullptr) {
        return;
    }
    if (!shared_backoff_.may_try(now)) {
        retry_at(shared_backoff_.next());
        return;
    }
    if (!budget_.try_take(*this)) {
        return;  // budget_freed() will say
    }
    const bool second = shared_[place].connecting;
    (second ? shared_[place].second : shared_[place].connecting) = true;
    if (!second) {
        shared_[place].since = now;
    }
    tasks_.spawn(open_shared(place, budget_ticket(budget_, counters_), second), "pg.open");
}

// Unheard since before a peer fell silent: a request that met it might wait in vain until its
// deadline.
bool pool_core::cut_off(const connection& which) const {
    return budget_.doubtful(which.last_used());
}

runtime::awaitable<pg_result<pool_core::shared_connection>> pool_core::open_one(
    budget_ticket ticket, bool second) {
    const auto patience =
        second ? std::min(attempt_patience, options_.connect_timeout) : options_.connect_timeout;
    const connect_options options{.conninfo = options_.conninfo,
                                  .application_name = "insula " + options_.name,
                                  .statement_bytes_max = options_.statement_bytes_max,
                                  .owner = weak_from_this()};
    auto opened = co_await open_connection(home_, options, counters_, resolver_, tasks_,
                                           std::move(ticket), runtime::deadline::after(patience));
    if (opened && !(*opened)->usable()) {
        opened = pg_error{.state = sqlstate::unable_to_connect, .message = "lost at once"};
    }
    if (opened) {
        last_failure_.reset();
        co_return opened;
    }
    const pg_error& why = opened.error();
    observe::warn("pg.connect_failed",
                  {{"pool", options_.name}, {"state", why.state.str()}, {"reason", why.message}});
    last_failure_ = why;
    if (why.state == sqlstate::pooler_between) {
        fail_waiting(why);  // waiting does not make it better
    }
    co_return opened;
}

runtime::awaitable<void> pool_core::open_shared(std::size_t place, budget_ticket ticket,
                                                bool second) {
    const auto began = backoff::clock::now();
    auto opened = co_await open_one(std::move(ticket), second);
    shared_place& p = shared_[place];
    (second ? p.second : p.connecting) = false;
    if (opened && p.open) {
        (*opened)->shut_down();  // the other attempt was quicker
    } else if (opened) {
        shared_backoff_.succeeded();
        p.open = std::move(*opened);
    } else if (!second || !hung(began)) {
        shared_backoff_.failed(backoff::clock::now(), random_unit());
        retry_at(shared_backoff_.next());
    }
    changed_.set();
    serve();
}

runtime::awaitable<void> pool_core::open_exclusive(std::size_t node, budget_ticket ticket,
                                                   bool second) {
    const auto began = backoff::clock::now();
    auto opened = co_await open_one(std::move(ticket), second);
    const auto now = backoff::clock::now();
    if (opened) {
        exclusive_[node] = std::move(*opened);
        machine_.opened(node, now);
    } else if (second && hung(began)) {
        machine_.open_cancelled(node);
    } else {
        machine_.open_failed(node, now, random_unit());
    }
    changed_.set();
    serve();
}

void pool_core::serve_exclusive() {
    for (;;) {
        const auto decision = machine_.plan(backoff::clock::now(), closed_ ? 0 : waiters_.size());
        switch (decision.action) {
            case pool_machine::decision::what::nothing:
                update_gauges();
                return;
            case pool_machine::decision::what::wait:
                retry_at(decision.until);
                update_gauges();
                return;
            case pool_machine::decision::what::lend: {
                const shared_connection& open = exclusive_[decision.node];
                if (open && open->usable() && cut_off(*open)) {
                    open->shut_down();
                }
                if (!open || !open->usable()) {
                    machine_.dropped(decision.node);
                    exclusive_[decision.node].reset();
                    continue;
                }
                waiter& first = *waiters_.pop();
                first.granted = open;
                first.node = decision.node;
                first.bell.set();
                continue;
            }
            case pool_machine::decision::what::open:
                if (!budget_.try_take(*this)) {
                    machine_.open_cancelled(decision.node);
                    update_gauges();
                    return;
                }
                tasks_.spawn(open_exclusive(decision.node, budget_ticket(budget_, counters_),
                                            decision.second),
                             "pg.open");
                continue;
        }
    }
}

void pool_core::serve() {
    serve_shared();
    serve_exclusive();
    if (unsent_.empty() && waiters_.empty()) {
        budget_.withdraw(*this);
    }
}

void pool_core::fail_waiting(const pg_error& why) {
    while (request* r = unsent_.pop()) {
        r->error = why;
        r->finished = true;
        r->done.set();
    }
    while (waiter* w = waiters_.pop()) {
        w->failed = why;
        w->bell.set();
    }
    update_gauges();
}

runtime::awaitable<pg_result<lease>> pool_core::acquire(runtime::deadline until) {
    ensure_started();
    if (closed_) {
        co_return pg_error{.state = sqlstate::pool_closed, .message = "shutting down"};
    }
    waiter mine(*this);
    waiters_.push(mine);
    serve_exclusive();
    if (mine.queued()) {
        if (unsent_.size() + waiters_.size() > options_.waiters_max) {
            pool_counters::add(counters_->refused);
            co_return pg_error{.state = sqlstate::pool_exhausted,
                               .message = "too many requests wait for a connection"};
        }
        (void)co_await mine.bell.wait(until);
    }
    if (mine.failed) {
        co_return std::move(*mine.failed);
    }
    if (!mine.granted) {
        co_return out_of_time();
    }
    auto state = std::make_shared<lease_state>();
    state->pool = shared_from_this();
    state->connection = std::exchange(mine.granted, nullptr);
    state->node = mine.node;
    state->pid = state->connection->backend_pid();
    state->until = until;
    co_return lease(std::move(state));
}

pool_core::leave_unsent::~leave_unsent() {
    if (who.queued()) {
        core.unsent_.remove(who);
        core.update_gauges();
    }
}

pool_core::waiter::~waiter() {
    if (queued()) {
        core.waiters_.remove(*this);
        core.update_gauges();
    }
    if (granted) {  // the coroutine was cancelled between the grant and its resumption
        core.machine_.given_back(node, backoff::clock::now());
        core.wake_.set();
    }
}

void pool_core::retry_at(backoff::clock::time_point when) {
    if (when < retry_at_) {
        retry_at_ = when;
        wake_.set();
    }
}

void pool_core::update_gauges() noexcept {
    pool_counters::set(counters_->waiters, unsent_.size() + waiters_.size());
    pool_counters::set(counters_->idle, machine_.count(node_state::idle));
}

}  // namespace insula::pg::detail
