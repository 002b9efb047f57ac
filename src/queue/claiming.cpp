// From ready to a driver: when to look, how much to take, who gets a slot.

#include "queue/driver.hpp"
#include "queue/engine_state.hpp"
#include "queue/statements.hpp"

#include "insula/core/random.hpp"
#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"
#include "insula/runtime/timer.hpp"

#include <algorithm>
#include <utility>

namespace insula::queue {

namespace {

constexpr unsigned claim_max = 256;
constexpr unsigned completing_max = 512;
constexpr std::int32_t timers_max = 1000;
/// So long a claimed run waits for a slot, then others may have it.
constexpr auto hand_back_after = std::chrono::milliseconds(250);

}  // namespace

runtime::awaitable<void> engine::state::dispatch() {
    while (!draining_) {
        if (!healthy()) {
            co_await bell_.wait(jittered(options_.poll));
            continue;
        }
        if (room() == 0) {
            const auto pause = claimed_.empty() ? options_.poll : hand_back_after;
            if (!co_await slot_free_.wait(jittered(pause)) && !claimed_.empty()) {
                co_await hand_back();
            }
            continue;
        }
        if (co_await claim_once()) {
            continue;
        }
        const bool rung = co_await bell_.wait(jittered(options_.poll).sooner(next_timer_));
        if (!rung) {
            count_.wakes_polled.add();
        } else if (std::exchange(rung_remote_, false) && !rung_local_) {
            count_.wakes_notified.add();
        } else {
            count_.wakes_local.add();
        }
        rung_local_ = false;
    }
    start_waiting();  // to be given back
    claiming_done_.set();
}

unsigned engine::state::free_slots() const noexcept {
    const unsigned busy = running_ - std::min(completing_, completing_max);
    return options_.workers > busy ? options_.workers - busy : 0;
}

/// How many runs to claim now: for the free slots, and as many more as slots become free during a
/// claim, twice. So short runs keep their slots busy, and long ones stay ready for other processes.
unsigned engine::state::room() const noexcept {
    const unsigned free = free_slots();
    const auto ahead = static_cast<unsigned>(ahead_);
    const auto waiting = static_cast<unsigned>(claimed_.size());
    if (free == 0 && waiting >= std::max(ahead / 2, 1U)) {
        return 0;
    }
    return std::min(free + (ahead > waiting ? ahead - waiting : 0), claim_max);
}

/// True when there may be more: look again as soon as there is a free slot.
runtime::awaitable<bool> engine::state::claim_once() {
    const auto begun = options_.steady_now();
    const std::uint64_t freed = freed_;
    const unsigned wanted = room();
    const std::size_t queues = options_.queues.size();
    const unsigned each = std::max(1U, wanted / static_cast<unsigned>(queues));
    const std::size_t asked = std::min<std::size_t>(queues, wanted);
    const auto token = static_cast<std::int64_t>(random_u64());
    const std::uint64_t epoch = epoch_;
    pg::unit work;
    work.add(sql::fire_timers, timers_max);
    std::vector<detail::place> from;
    for (std::size_t i = 0; i < asked; ++i) {
        const std::size_t q = (first_queue_ + i) % queues;
        from.push_back(watermarks_[q].from(begun));
        work.add(sql::claim, worker_id_, token, options_.queues[q], static_cast<std::int32_t>(each),
                 from.back().priority, from.back().vt);
    }
    auto got = co_await pool_.run(std::move(work), call_deadline());
    if (!got) {
        // A claim that landed all the same is found by the audit.
        observe::warn("queue: claim failed",
                      {{"sqlstate", got.error().state.str()}, {"error", got.error().message}});
        co_await runtime::sleep_until(jittered(std::chrono::milliseconds(50)));
        next_timer_ = runtime::deadline::after(std::chrono::milliseconds(50));
        co_return false;
    }
    const auto now = options_.steady_now();
    count_.claim_seconds.observe(now - begun);
    ahead_ = std::min((ahead_ + 2.0 * static_cast<double>(freed_ - freed)) / 2, 1.0 * claim_max);
    const auto next = (*got)[0].scalar<std::optional<std::int64_t>>();
    next_timer_ =
        next ? runtime::deadline::after(std::chrono::milliseconds(std::max<std::int64_t>(*next, 0)))
             : runtime::deadline::never();
    bool more = asked < queues;
    bool filled = false;
    for (std::size_t i = 0; i < asked; ++i) {
        const pg::result_set& rows = (*got)[i + 1];
        std::optional<detail::place> last;
        for (const pg::row r : rows) {
            const detail::place at{r.get<std::int16_t>(detail::claim_priority),
                                   r.get<std::int64_t>(detail::claim_vt)};
            last = last ? std::max(*last, at) : at;
        }
        const unsigned taken = read_claims(rows, token, epoch);
        // A look behind the watermark that found too little says nothing about the runs before it.
        more = more || taken >= each || from[i] != detail::place{};
        filled = filled || taken >= each;
        watermarks_[(first_queue_ + i) % queues].looked(from[i], last, taken >= each, now,
                                                        now - begun);
    }
    first_queue_ = (first_queue_ + asked) % queues;
    start_waiting();
    if (filled) {
        others_.set();  // more than we can take: other processes may have free slots
    }
    co_return more;
}

unsigned engine::state::read_claims(const pg::result_set& rows, std::int64_t token,
                                    std::uint64_t epoch) {
    unsigned taken = 0;
    for (const pg::row r : rows) {
        detail::claimed_run run = detail::read_claim(r, token, epoch);
        count_.pickup.observe(run.waited);
        count_.attempts.observe(run.attempt);
        in_hand_.insert_or_assign(run.id, token);
        const detail::place at{r.get<std::int16_t>(detail::claim_priority),
                               r.get<std::int64_t>(detail::claim_vt)};
        const auto before = std::upper_bound(
            claimed_.begin(), claimed_.end(), at,
            [](const detail::place& place, const auto& other) { return place < other.first; });
        claimed_.emplace(before, at, std::move(run));
        ++taken;
    }
    count_.claimed.add(taken);
    return taken;
}

/// What was claimed ahead, and then long runs kept the slots.
runtime::awaitable<void> engine::state::hand_back() {
    pg::unit work;
    for (const auto& [at, run] : std::exchange(claimed_, {})) {
        work.add(sql::give_back, run.id, run.token, std::chrono::microseconds(0));
        in_hand_.erase(run.id);
    }
    ahead_ = 0;
    // Lost on the way: the audit finds them.
    (void)co_await pool_.run(std::move(work), call_deadline());
    others_.set();
}

/// Slots for those that wait for one; all of them in a drain, where they are only given back.
void engine::state::start_waiting() {
    while (!claimed_.empty() && (draining_ || free_slots() > 0)) {
        count_.running.set(++running_);
        detail::claimed_run run = std::move(claimed_.front().second);
        claimed_.pop_front();
        drivers_.spawn(drive_one(std::move(run)), "run");
    }
}

void engine::state::slot_freed() {
    ++freed_;
    start_waiting();
    slot_free_.set();
}

namespace {

/// Gives the slot free however the coroutine ends.
class slot_guard {
public:
    slot_guard(engine::state& owner, const detail::claimed_run& run)
        : owner_(owner), id_(run.id), token_(run.token), keyed_(run.keyed) {}
    slot_guard(const slot_guard&) = delete;
    slot_guard& operator=(const slot_guard&) = delete;
    ~slot_guard() {
        const auto found = owner_.in_hand_.find(id_);
        if (found != owner_.in_hand_.end() && found->second == token_) {
            owner_.in_hand_.erase(found);
        }
        owner_.count_.running.set(--owner_.running_);
        if (owner_.running_ == 0 || owner_.draining_) {
            owner_.spare_.clear();
        }
        owner_.count_.run_seconds.observe(std::chrono::steady_clock::now() - begun_);
        if (keyed_) {
            owner_.rung_local_ = true;  // the next one in line for the key may be ready now
            owner_.bell_.set();
        }
        owner_.slot_freed();
    }

private:
    engine::state& owner_;
    run_id id_;
    std::int64_t token_;
    bool keyed_;
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace

runtime::awaitable<void> engine::state::drive_one(detail::claimed_run run) {
    const slot_guard slot(*this, run);
    detail::driver one(*this, std::move(run));
    co_await one.drive();
}

namespace {

class counted {
public:
    explicit counted(unsigned& count) : count_(count) { ++count_; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
    ~counted() { --count_; }

private:
    unsigned& count_;
};

}  // namespace

runtime::awaitable<detail::completion> engine::state::complete(detail::completion what) {
    const counted waits(completing_);
    slot_freed();
    co_return co_await completer_.complete(std::move(what));
}

}  // namespace insula::queue
