// What a pool does on its own: closing what is idle, old or hung, trying again, shutting down.
#include "pg/detail/pool_core.hpp"
#include "pg/detail/pool_parts.hpp"

#include "insula/observe/log.hpp"
#include "insula/runtime/post.hpp"

#include <algorithm>

namespace insula::pg::detail {
namespace {

constexpr std::chrono::milliseconds look_every{250};
// A unit overdue by this much on a connection where nothing moves: the peer is gone without a word.
constexpr std::chrono::seconds stall_grace{1};
// When a peer has fallen silent, others that are waited for longer than this are asked after.
constexpr std::chrono::milliseconds doubt_after{300};
constexpr std::chrono::seconds inquiry_time{1};
constexpr statement is_working{
    "pg.is_working",
    "select coalesce(bool_or(a.state = 'active'), false)"
    " from pg_catalog.pg_stat_get_activity($1::int4) a"
    " where (extract(epoch from a.backend_start) * 1000000)::bigint = $2::bigint"};

}  // namespace

runtime::awaitable<void> pool_core::upkeep() {
    while (!closed_) {
        const runtime::deadline next{
            std::min(retry_at_, backoff::clock::now() + backoff::clock::duration(look_every))};
        (void)co_await wake_.wait(next);
        if (backoff::clock::now() >= retry_at_) {
            retry_at_ = backoff::clock::time_point::max();
        }
        if (!closed_) {
            tick();
        }
    }
}

void pool_core::tick() {
    const auto now = backoff::clock::now();
    const auto condemn_stalled = [&](const shared_connection& c) {
        if (c && c->usable() && c->stalled(now, stall_grace)) {
            c->condemn(
                {.state = sqlstate::connection_failure, .message = "the server does not answer"});
        }
    };
    for (shared_place& place : shared_) {
        condemn_stalled(place.open);
        if (!place.open || !place.open->usable()) {
            continue;
        }
        const bool unused =
            place.open->in_flight() == 0 && place.open->last_used() + options_.idle_timeout < now;
        if (unused || recycle_due(*place.open)) {
            retire_shared(place);
        } else if (place.open->in_flight() == 0) {
            place.open->collect_garbage(1);
        }
    }
    for (const shared_connection& c : exclusive_) {
        condemn_stalled(c);
    }
    for (const shared_connection& c : retiring_) {
        condemn_stalled(c);
    }
    inquire_after_doubtful();
    while (const auto node = machine_.take_expired(now - options_.idle_timeout)) {
        exclusive_[*node]->shut_down();
        exclusive_[*node].reset();
    }
    serve();
}

void pool_core::inquire_after_doubtful() {
    const auto now = backoff::clock::now();
    if (now < next_inquiry_) {
        return;
    }
    const auto look_at = [&](const shared_connection& c) {
        if (c && c->usable() && c->in_flight() != 0 && cut_off(*c) &&
            c->last_used() + doubt_after < now && tasks_.spawn(inquire(c), "pg.inquire")) {
            next_inquiry_ = now + inquiry_time;
        }
    };
    std::ranges::for_each(exclusive_, look_at);
    std::ranges::for_each(retiring_, look_at);
}

// On another connection: a backend that waits for us, or is gone, will not answer what it was sent;
// whoever waits for it shall not do so until the deadline.
runtime::awaitable<void> pool_core::inquire(shared_connection after) {
    const auto unheard_since = after->last_used();
    const backend_id backend = after->backend();
    if (backend.pid == 0) {
        co_return;
    }
    unit work;
    work.add(is_working, backend.pid, backend.started_us);
    const auto answer =
        co_await run(std::move(work), unit_options{}, runtime::deadline::after(inquiry_time));
    if (answer && !answer->front().scalar<bool>() && after->usable() && after->in_flight() != 0 &&
        after->last_used() == unheard_since) {
        after->condemn({.state = sqlstate::connection_failure,
                        .message = "the server has heard nothing of what was asked, or was heard "
                                   "no more"});
    }
}

bool pool_core::recycle_due(const connection& which) const {
    return which.units() >= options_.recycle_units ||
           which.since() + options_.recycle_age < backoff::clock::now();
}

// Takes a connection out of service; it ends when its pipeline is empty.
void pool_core::retire_shared(shared_place& place) {
    const shared_connection old = std::exchange(place.open, nullptr);
    if (old->in_flight() == 0) {
        old->shut_down();
    } else {
        retiring_.push_back(old);
    }
}

bool pool_core::close_something_idle() {
    if (const auto node = machine_.take_expired(backoff::clock::now())) {
        exclusive_[*node]->shut_down();
        exclusive_[*node].reset();
        return true;
    }
    for (shared_place& place : shared_) {
        if (place.open && place.open->usable() && place.open->in_flight() == 0) {
            retire_shared(place);
            return true;
        }
    }
    return false;
}

void pool_core::unit_finished(connection& which) noexcept {
    if (which.in_flight() == 0 && !retiring_.empty()) {
        std::erase_if(retiring_, [&](const shared_connection& c) {
            if (c.get() == &which) {
                c->shut_down();
            }
            return c.get() == &which;
        });
    }
    if (!unsent_.empty()) {
        serve_shared();
    } else if (which.in_flight() == 0 && budget_.wanted()) {
        for (shared_place& place : shared_) {
            if (place.open.get() == &which) {
                retire_shared(place);
            }
        }
    }
    if (closed_) {
        changed_.set();
    }
}

void pool_core::connection_broken(connection& which) noexcept {
    for (shared_place& place : shared_) {
        if (place.open.get() == &which) {
            place.open.reset();
        }
    }
    std::erase_if(retiring_, [&](const shared_connection& c) { return c.get() == &which; });
    for (std::size_t node = 0; node < exclusive_.size(); ++node) {
        // One that is lent is dropped when it comes back.
        if (exclusive_[node].get() == &which && machine_.state(node) == node_state::idle) {
            exclusive_[node].reset();
            machine_.dropped(node);
        }
    }
    changed_.set();
    serve();
}

void pool_core::connection_closed(connection&) noexcept {
    changed_.set();
}

void pool_core::budget_freed() noexcept {
    runtime::post(home_, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
            self->serve();
        }
    });
}

void pool_core::budget_wanted() noexcept {
    runtime::post(home_, [weak = weak_from_this()] {
        if (const auto self = weak.lock(); self && self->budget_.wanted()) {
            (void)self->close_something_idle();
        }
    });
}

bool pool_core::quiet() const noexcept {
    const auto busy = [](const shared_connection& c) {
        return c && c->usable() && c->in_flight() != 0;
    };
    return machine_.count(node_state::lent) == 0 && machine_.count(node_state::connecting) == 0 &&
           std::none_of(retiring_.begin(), retiring_.end(), busy) &&
           std::none_of(shared_.begin(), shared_.end(), [&](const shared_place& p) {
               return p.connecting || p.second || busy(p.open);
           });
}

runtime::awaitable<void> pool_core::close(runtime::deadline until) {
    closed_ = true;
    wake_.set();
    fail_waiting({.state = sqlstate::pool_closed, .message = "shutting down"});
    while (!quiet() && !until.expired()) {
        (void)co_await changed_.wait(until);
    }
    changed_.set();  // for a second close() that waits too
    for (shared_place& place : shared_) {
        if (place.open) {
            std::exchange(place.open, nullptr)->shut_down();
        }
    }
    for (const shared_connection& c : retiring_) {
        c->shut_down();
    }
    retiring_.clear();
    for (std::size_t node = 0; node < exclusive_.size(); ++node) {
        if (exclusive_[node]) {
            exclusive_[node]->shut_down();
        }
        if (machine_.state(node) == node_state::idle) {
            machine_.dropped(node);
            exclusive_[node].reset();
        }
    }
    // Connection attempts and clean-up are bounded in time by themselves.
    const auto patience = options_.connect_timeout + std::chrono::seconds(3);
    if (!co_await tasks_.join(runtime::deadline::after(patience))) {
        observe::error("pg.pool_tasks_left", {{"pool", options_.name}, {"tasks", tasks_.size()}});
        tasks_.stop();
        (void)co_await tasks_.join(runtime::deadline::never());
    }
    tasks_.close();  // a lease that comes back later finds its connection gone
}

}  // namespace insula::pg::detail
