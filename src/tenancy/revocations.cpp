#include "insula/tenancy/revocations.hpp"

#include "revocations_state.hpp"

#include "insula/observe/log.hpp"
#include "insula/runtime/post.hpp"
#include "insula/runtime/timer.hpp"

#include <algorithm>
#include <mutex>

namespace insula::tenancy {
namespace {

using namespace std::chrono_literals;

/// How long one question may take; a connection that takes longer is given up.
constexpr auto page_limit = 2s;
constexpr auto catch_up_limit = 1s;
/// Between looks that notifications, or tokens under unknown keys, ask for.
constexpr auto notified_gap = 5ms;
constexpr auto stranger_gap = 20ms;
constexpr unsigned strangers_max = 64;
/// What is incomplete is read again now and then: it may have become less.
constexpr auto incomplete_reload = 60s;
/// While nothing is heard, keys are read through other connections, so often at most.
constexpr auto unheard_keys_gap = 1s;
/// More than this apart from the database's clock, a process takes tokens that are older than what
/// it remembers (revocations_options::keep is their life and 5 minutes).
constexpr auto clock_gap_max = 2min;

}  // namespace

void feed_hearing::distrust() noexcept {
    trusted_from_ = ticks(runtime::steady_clock::now());
}

bool feed_hearing::silent() const noexcept {
    const auto heard = heard_.load(std::memory_order_acquire);
    const auto now = ticks(runtime::steady_clock::now());
    return heard < trusted_from_.load(std::memory_order_acquire) ||
           now - heard > silent_after_.count() ||
           now < incomplete_until_.load(std::memory_order_acquire);
}

double feed_hearing::age_seconds() const noexcept {
    return std::chrono::duration<double>(
               std::chrono::nanoseconds(ticks(runtime::steady_clock::now()) - heard_))
        .count();
}

void revocations::state::begin(key_reload reload) {
    reload_keys = std::move(reload);
    connection = std::make_unique<pg::listener_connection>(
        home,
        pg::listen_options{
            .name = "feed", .conninfo = options.conninfo, .channels = {"insula_feed"}},
        budget, metrics, resolver);
    reader = std::make_unique<feed_reader>(*connection, options.entries_max);
    show();
    tasks.spawn(listen(), "listen");
    tasks.spawn(watch(), "watch");
}

void revocations::state::show() {
    metrics.gauge_from("insula_feed_last_number", "Number of the last revocation that was read", {},
                       [h = hearing] { return static_cast<double>(h->last.load()); });
    metrics.gauge_from("insula_feed_look_age_seconds", "Since the last look that succeeded", {},
                       [h = hearing] { return h->age_seconds(); });
    metrics.gauge_from("insula_feed_entries", "Revocations in memory", {},
                       [h = hearing] { return static_cast<double>(h->entries.load()); });
    metrics.gauge_from("insula_feed_entries_max", "Beyond it the database decides", {},
                       [most = options.entries_max] { return static_cast<double>(most); });
    metrics.gauge_from("insula_feed_silent", "1 while the database decides every request", {},
                       [h = hearing] { return h->silent() ? 1.0 : 0.0; });
    const auto help = "Looks at the revocation feed";
    looks_good = &metrics.counter("insula_feed_looks_total", help, {{"outcome", "heard"}});
    looks_failed = &metrics.counter("insula_feed_looks_total", help, {{"outcome", "failed"}});
    loads = &metrics.counter("insula_feed_loads_total", "Times the feed was read afresh");
}

runtime::awaitable<void> revocations::state::listen() {
    while (!stopping) {
        const auto heard = co_await connection->next(runtime::deadline::after(30s));
        if (heard.what == pg::notification::kind::up) {
            // Another server may have taken over, one that has not heard of the last numbers.
            loaded = false;
            bell.set();
        } else if (heard.what == pg::notification::kind::message) {
            if (const auto soon = last_begun + notified_gap; soon > runtime::steady_clock::now()) {
                co_await runtime::sleep_until({soon});
            }
            bell.set();
        }
    }
}

runtime::awaitable<void> revocations::state::watch() {
    while (!stopping) {
        (void)co_await bell.wait({last_begun + options.look_every});
        if (stopping) {
            co_return;
        }
        last_begun = runtime::steady_clock::now();
        ++begun;
        const bool heard_now = co_await look_safely();
        if (heard_now) {
            succeeded = begun;
            hearing->heard(last_begun);
        }
        finished = begun;
        tell(heard_now);
        looked.set_all();
    }
}

void revocations::state::tell(bool heard_now) {
    (heard_now ? looks_good : looks_failed)->add();
    if (const bool heard = !hearing->silent(); heard != was_heard) {
        was_heard = heard;
        if (heard) {
            observe::info("feed.heard", {{"number", hearing->last.load()}});
        } else {
            observe::warn("feed.silent", {{"what", "the database decides every request"}});
        }
    }
}

runtime::awaitable<bool> revocations::state::look_safely() {
    std::string thrown;
    try {
        const bool heard_now = co_await look();
        if (!heard_now && !stopping) {
            co_await follow_keys_unheard();
        }
        co_return heard_now;
    } catch (const std::exception& e) {
        thrown = e.what();
    }
    if (!stopping) {
        loaded = false;
        observe::error("feed.look", {{"reason", thrown}});
    }
    co_return false;
}

runtime::awaitable<bool> revocations::state::look() {
    {
        const std::unique_lock lock(guard);
        known.expire(last_begun);
    }
    const bool enough = hearing->silent() && loaded_at + incomplete_reload < last_begun;
    const bool good = loaded && !enough ? co_await read(nullptr) : co_await load();
    if (!good) {
        co_return false;
    }
    {
        const std::shared_lock lock(guard);
        hearing->entries = known.size();
        hearing->incomplete(known.incomplete_until());
    }
    hearing->last = reader->last();
    if (keys_due) {
        keys_due = !co_await reload_keys(runtime::deadline::after(page_limit));
    }
    co_return clock_is_right() && !keys_due;
}

bool revocations::state::clock_is_right() {
    // Read after the database's: a slow answer counts as ahead, and page_limit bounds that.
    const auto ahead = options.clock->now() - reader->clock();
    const bool right = std::chrono::abs(ahead) <= clock_gap_max;
    if (!right && clock_was_right) {
        observe::error(
            "feed.clock",
            {{"what", "this machine's clock is wrong, so the database decides every request"},
             {"seconds_ahead_of_the_database",
              std::chrono::duration_cast<std::chrono::seconds>(ahead).count()}});
    }
    clock_was_right = right;
    return right;
}

runtime::awaitable<void> revocations::state::follow_keys_unheard() {
    const auto now = runtime::steady_clock::now();
    if (now < unheard_keys_at + unheard_keys_gap) {
        co_return;
    }
    unheard_keys_at = now;
    // What it reads may be older than a change it has not heard of: keys_due stays as it is.
    (void)co_await reload_keys(runtime::deadline::after(catch_up_limit));
}

runtime::awaitable<bool> revocations::state::load() {
    loaded = true;  // unless the connection comes up anew meanwhile
    const auto tenants = co_await reader->begin(options.keep, runtime::deadline::after(page_limit));
    if (!tenants) {
        loaded = false;
        co_return false;
    }
    revoked_set afresh(options.entries_max, options.keep);
    const auto now = runtime::steady_clock::now();
    for (const auto& tenant : *tenants) {
        afresh.apply(tenant, now);
    }
    keys_due = true;
    if (!co_await read(&afresh)) {
        loaded = false;
        co_return false;
    }
    loads->add();
    loaded_at = runtime::steady_clock::now();
    const std::unique_lock lock(guard);
    known = std::move(afresh);
    co_return true;
}

runtime::awaitable<bool> revocations::state::read(revoked_set* afresh) {
    for (bool more = true; more;) {
        const auto page = co_await reader->next(runtime::deadline::after(page_limit));
        if (!page) {
            loaded = false;
            co_return false;
        }
        if (page->gap) {
            observe::info("feed.gap", {{"last", hearing->last.load()}});
            loaded = false;
            if (afresh == nullptr) {
                bell.set();  // the next look reads everything, and comes at once
            }
            co_return false;
        }
        keys_due = keys_due || page->keys;
        if (afresh != nullptr) {
            take(*afresh, *page);
        } else {
            const std::unique_lock lock(guard);
            take(known, *page);
        }
        more = page->more;
    }
    co_return true;
}

void revocations::state::take(revoked_set& into, const feed_page& page) const {
    const auto now = runtime::steady_clock::now();
    for (const auto& [what, age] : page.changes) {
        into.apply(what, now - std::max(age, 0ms));
    }
    for (const auto age : page.too_large) {
        into.overflow(now - std::max(age, 0ms));
    }
}

runtime::awaitable<bool> revocations::state::next_look(runtime::deadline until) {
    const auto wanted = begun + 1;
    bell.set();
    while (finished < wanted) {
        if (stopping || !co_await looked.wait(until)) {
            co_return false;
        }
    }
    co_return succeeded >= wanted;
}

runtime::awaitable<bool> revocations::state::shared_look(runtime::deadline until) {
    struct counted {
        explicit counted(unsigned& n) : waiting(n) { ++waiting; }
        ~counted() { --waiting; }
        unsigned& waiting;
    };
    if (stopping || strangers >= strangers_max) {
        co_return false;
    }
    const counted waiting(strangers);
    const auto wanted = begun + 1;
    if (const auto due = last_begun + stranger_gap; due > runtime::steady_clock::now()) {
        co_await runtime::sleep_until(runtime::deadline{due}.sooner(until));
    }
    if (begun < wanted) {
        bell.set();
    }
    while (finished < wanted) {
        if (stopping || !co_await looked.wait(until)) {
            co_return false;
        }
    }
    // Also when it has failed: the keys may have been read all the same.
    co_return true;
}

runtime::awaitable<bool> revocations::state::end() {
    if (!std::exchange(stopping, true) && connection) {
        bell.set();
        looked.set_all();
        co_await connection->close();
        tasks.stop();
        co_return co_await tasks.join(runtime::deadline::after(5s));
    }
    co_return true;
}

namespace {

// For run_on(): a coroutine's lambda must not capture (FACTS 2), an object may.
template <class State>
struct look_call {
    std::shared_ptr<State> of;
    runtime::awaitable<bool> (State::*what)(runtime::deadline);
    runtime::deadline until;
    runtime::awaitable<bool> operator()() { return ((*of).*what)(until); }
};
template <class State>
struct end_call {
    std::shared_ptr<State> of;
    runtime::awaitable<bool> operator()() { return of->end(); }
};

}  // namespace

revocations::revocations(runtime::loop& home, revocations_options options,
                         pg::connection_budget& budget, observe::metrics& metrics,
                         runtime::cpu_pool* resolver)
    : state_(std::make_shared<state>(home, std::move(options), budget, metrics, resolver)) {}

revocations::~revocations() = default;

runtime::awaitable<bool> revocations::start(key_reload keys, runtime::deadline until) {
    state_->begin(std::move(keys));
    do {
        if (co_await state_->next_look(until)) {
            co_return true;
        }
        // It is connecting; a look that fails does so at once.
        co_await runtime::sleep_until(runtime::deadline::after(10ms).sooner(until));
    } while (!until.expired());
    co_return false;
}

runtime::awaitable<void> revocations::stop() {
    (void)co_await runtime::run_on(state_->home, end_call<state>{state_});
}

verdict revocations::check(const token::claims& who) const {
    const std::shared_lock lock(state_->guard);
    return state_->known.check(who);
}

bool revocations::silent() const noexcept {
    return state_->hearing->silent();
}

runtime::awaitable<void> revocations::catch_up(runtime::deadline until) {
    if (state_->reader == nullptr) {
        state_->hearing->distrust();
        co_return;
    }
    const auto soon = until.sooner(runtime::deadline::after(catch_up_limit));
    if (!co_await runtime::run_on(state_->home,
                                  look_call<state>{state_, &state::next_look, soon})) {
        state_->hearing->distrust();
    }
}

runtime::awaitable<bool> revocations::look_again(runtime::deadline until) {
    if (state_->reader == nullptr) {
        co_return false;
    }
    const auto soon = until.sooner(runtime::deadline::after(catch_up_limit));
    co_return co_await runtime::run_on(state_->home,
                                       look_call<state>{state_, &state::shared_look, soon});
}

std::size_t revocations::entries() const {
    return state_->hearing->entries;
}

}  // namespace insula::tenancy
