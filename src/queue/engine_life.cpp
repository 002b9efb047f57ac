// The engine's life: its lease, the rescue of others' runs, wake-ups between processes, the drain.

#include "queue/engine_state.hpp"
#include "queue/statements.hpp"

#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"
#include "insula/runtime/timer.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace insula::queue {

namespace {

/// The frame of a call that never ended is in use for as long as the process lives, and so is its
/// group.
void leave_behind(std::unique_ptr<runtime::task_group> call) {
    static std::mutex guard;
    static auto& left = *new std::vector<std::unique_ptr<runtime::task_group>>;
    const std::lock_guard lock(guard);
    left.push_back(std::move(call));
}

}  // namespace

using namespace std::chrono_literals;

// --- the lease

runtime::awaitable<void> engine::state::heart() {
    while (!drained_) {
        const bool alive = epoch_ == 0 ? co_await enlist() : co_await beat();
        const auto period = alive ? options_.lease / 5
                                  : std::min<std::chrono::milliseconds>(options_.lease / 20, 200ms);
        co_await runtime::sleep_until(runtime::deadline::after(period));
    }
}

runtime::awaitable<bool> engine::state::enlist() {
    const auto sent = options_.steady_now();
    pg::unit work;
    work.add(sql::enlist, boot_id_, fmt::format("pid {}", ::getpid()));
    auto got = co_await pool_.run(std::move(work), call_deadline());
    if (!got) {
        observe::warn("queue: cannot register as a worker",
                      {{"sqlstate", got.error().state.str()}, {"error", got.error().message}});
        co_return false;
    }
    worker_id_ = got->front().scalar<std::int64_t>();
    beat_at_ = sent;
    epoch_ = ++epochs_;
    count_.registrations.add();
    observe::info("queue: registered", {{"worker", worker_id_}});
    bell_.set();
    if (const std::int64_t former = std::exchange(former_worker_, 0); former != 0) {
        // Nothing of ours works for it any more: its runs need not wait for a rescuer.
        pg::unit burial;
        burial.add(sql::bury, former, std::optional<std::int64_t>());
        (void)co_await pool_.run(std::move(burial), call_deadline());
        burial_watch_ = runtime::deadline::after(options_.lease);
    }
    co_return true;
}

runtime::awaitable<bool> engine::state::beat() {
    INSULA_FAULT_POINT("queue.beat");
    const auto sent = options_.steady_now();
    const std::uint64_t epoch = epoch_;
    pg::unit work;
    work.add(sql::beat, worker_id_);
    auto got = co_await pool_.run(std::move(work), call_deadline());
    if (epoch != epoch_) {
        co_return false;
    }
    if (got && !got->front().empty()) {
        beat_at_ = sent;
        co_return true;
    }
    if (got) {
        lose_lease("declared dead");
    } else if (options_.steady_now() - beat_at_ > options_.lease / 2) {
        lose_lease("database out of reach");
    }
    co_return false;
}

/// Drivers see it through owns() before their next step; the fence holds whatever they do
/// meanwhile.
void engine::state::lose_lease(const char* why) {
    observe::warn("queue: lease lost",
                  {{"worker", worker_id_}, {"why", why}, {"runs", in_hand_.size()}});
    former_worker_ = worker_id_;
    worker_id_ = 0;
    epoch_ = 0;
}

// --- rescue

runtime::awaitable<void> engine::state::rescue() {
    const auto look = std::clamp<std::chrono::milliseconds>(options_.lease / 10, 20ms, 250ms);
    const auto sweep_gap = std::clamp<std::chrono::milliseconds>(options_.lease / 2, 100ms, 5000ms);
    runtime::deadline next_sweep = runtime::deadline::after(sweep_gap);
    while (!drained_) {
        co_await look_for_dead();
        if (next_sweep.expired() || !burial_watch_.expired()) {
            co_await sweep();
            next_sweep = runtime::deadline::after(sweep_gap);
        }
        co_await runtime::sleep_until(jittered(look));
    }
}

/// A beat that has stood still for a whole lease by our own steady clock belongs to a dead worker.
/// Time in which we could not look does not count: after an outage everybody gets a new lease.
runtime::awaitable<void> engine::state::look_for_dead() {
    pg::unit work;
    work.add(sql::beats);
    auto got = co_await pool_.run(std::move(work), call_deadline());
    if (!got) {
        seen_.clear();
        co_return;
    }
    const auto now = options_.steady_now();
    if (now - looked_at_ > options_.lease / 2) {
        seen_.clear();  // this process, or the whole machine, was stopped
    }
    looked_at_ = now;
    std::map<std::int64_t, sighting> living;
    for (const pg::row r : got->front()) {
        const auto id = r.get<std::int64_t>(0);
        const auto beat_now = r.get<std::int64_t>(1);
        const auto before = seen_.find(id);
        const bool same = before != seen_.end() && before->second.beat == beat_now;
        living[id] = same ? before->second : sighting{beat_now, now};
    }
    seen_ = std::move(living);
    for (auto at = seen_.begin(); at != seen_.end();) {
        const auto [id, last] = *at++;
        if (id == worker_id_ || now - last.since <= options_.lease) {
            continue;
        }
        pg::unit burial;
        burial.add(sql::bury, id, std::optional<std::int64_t>(last.beat));
        auto buried = co_await pool_.run(std::move(burial), call_deadline());
        if (!buried) {
            seen_.clear();
            co_return;
        }
        const auto freed = buried->front().scalar<std::int32_t>();
        if (freed >= 0) {
            observe::warn("queue: worker is dead", {{"worker", id}, {"runs", freed}});
            count_.rescued.add(static_cast<std::uint64_t>(freed));
            burial_watch_ = runtime::deadline::after(options_.lease);
            bell_.set();
        }
    }
}

runtime::awaitable<void> engine::state::sweep() {
    pg::unit work;
    work.add(sql::sweep);
    auto got = co_await pool_.run(std::move(work), call_deadline());
    if (!got) {
        co_return;
    }
    const int freed = got->front().scalar<std::optional<std::int32_t>>().value_or(0);
    if (freed > 0) {
        count_.rescued.add(static_cast<std::uint64_t>(freed));
        observe::warn("queue: runs of dead workers swept up", {{"runs", freed}});
        bell_.set();
    }
}

/// Runs that are ours by their rows and unknown to us: a claim whose answer was lost, a driver that
/// died.
runtime::awaitable<void> engine::state::audit() {
    const auto gap = std::clamp<std::chrono::milliseconds>(options_.lease / 3, 50ms, 5000ms);
    while (!drained_) {
        co_await runtime::sleep_until(jittered(gap));
        if (healthy()) {
            co_await audit_once();
        }
    }
}

runtime::awaitable<void> engine::state::audit_once() {
    const std::uint64_t epoch = epoch_;
    pg::unit look;
    look.add(sql::owned, worker_id_);
    auto got = co_await pool_.run(std::move(look), call_deadline());
    std::erase_if(abandoned_, [](const auto& call) { return call->size() == 0; });
    if (!got || epoch != epoch_) {
        co_return;
    }
    std::unordered_map<run_id, std::int64_t> strangers;
    pg::unit release;
    for (const pg::row r : got->front()) {
        const run_id id(r.get<uuid>(0));
        const auto token = r.get<std::int64_t>(1);
        const auto known = in_hand_.find(id);
        if (known != in_hand_.end() && known->second == token) {
            continue;
        }
        // Twice in a row: the first time its claim's answer may still have been on its way.
        const auto before = unknown_.find(id);
        if (before != unknown_.end() && before->second == token) {
            observe::warn("queue: run without a driver given back", {{"run", id}});
            release.add(sql::abandon, id, token);
        } else {
            strangers.emplace(id, token);
        }
    }
    unknown_ = std::move(strangers);
    if (!release.empty() && co_await pool_.run(std::move(release), call_deadline())) {
        bell_.set();
    }
}

// --- wake-ups between processes

/// The first at once, then at most one for each gap. Lost ones cost a poll's delay.
runtime::awaitable<void> engine::state::notify_others() {
    while (!drained_) {
        if (!co_await others_.wait(runtime::deadline::never())) {
            co_return;
        }
        pg::unit work;
        work.add(sql::notify, boot_id_.str());
        (void)co_await pool_.run(std::move(work), call_deadline());
        co_await runtime::sleep_until(runtime::deadline::after(options_.notify_gap));
    }
}

runtime::awaitable<void> engine::state::listen() {
    listener_ = std::make_unique<pg::listener_connection>(
        home_,
        pg::listen_options{
            .name = "queue", .conninfo = options_.listen_conninfo, .channels = {"insula_queue"}},
        budget_, metrics_, resolver_);
    const std::string own = boot_id_.str();
    while (!drained_) {
        const pg::notification heard =
            co_await listener_->next(runtime::deadline::after(std::chrono::seconds(30)));
        const bool look = heard.what == pg::notification::kind::up ||
                          (heard.what == pg::notification::kind::message && heard.payload != own);
        if (look) {
            rung_remote_ = true;
            bell_.set();
        }
    }
}

// --- the end

runtime::awaitable<bool> engine::state::drain(runtime::deadline until) {
    if (!started_ || std::exchange(draining_, true)) {
        drained_ = true;
        co_return running_ == 0;
    }
    bool clean = true;
    if (options_.workers > 0) {
        bell_.set();
        slot_free_.set();
        clean = co_await claiming_done_.wait(until);
        drivers_.close();
        clean = co_await drivers_.join(until) && clean;
    }
    if (!clean) {
        observe::warn("queue: out of time, runs left to the rescuers", {{"runs", in_hand_.size()}});
        drivers_.stop();
        co_await drivers_.join(runtime::deadline::after(1s));
    }
    for (auto& call : std::exchange(abandoned_, {})) {
        if (!co_await call->join(runtime::deadline::after(100ms))) {
            observe::error("queue: an outside call never ended", {});
            leave_behind(std::move(call));
        }
    }
    drained_ = true;
    if (worker_id_ != 0) {
        // Dead by our own word: whatever is left is ready for others at once.
        pg::unit burial;
        burial.add(sql::bury, worker_id_, std::optional<std::int64_t>());
        (void)co_await pool_.run(std::move(burial), call_deadline());
    }
    if (listener_) {
        co_await listener_->close();
    }
    tasks_.stop();
    co_await tasks_.join(runtime::deadline::after(5s));
    co_return clean;
}

}  // namespace insula::queue
