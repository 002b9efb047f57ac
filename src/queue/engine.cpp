#include "insula/queue/engine.hpp"

#include "queue/driver.hpp"
#include "queue/engine_state.hpp"
#include "queue/statements.hpp"

#include "insula/core/random.hpp"
#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"
#include "insula/runtime/post.hpp"
#include "insula/runtime/timer.hpp"

#include <algorithm>
#include <utility>

namespace insula::queue {

namespace {
constexpr unsigned claim_max = 256;
constexpr std::int32_t timers_max = 1000;
constexpr std::size_t spare_max = 4;
}  // namespace

namespace detail {

tallies::tallies(observe::metrics& m)
    : claimed(m, "insula_queue_claimed_total", "Runs claimed"),
      steps(m, "insula_queue_steps_total", "Steps committed, undos included"),
      finished(m, "insula_queue_finished_total", "Runs moved to history"),
      retried(m, "insula_queue_retries_total", "Steps that failed and wait for another try"),
      undone(m, "insula_queue_undone_total", "Steps undone"),
      held(m, "insula_queue_held_total", "Runs set aside for an operator"),
      stale_refused(m, "insula_queue_stale_refused_total", "Steps refused by the fence"),
      lost_landed(m, "insula_queue_lost_commits_landed_total",
                  "Commits whose answer was lost and that were found in the row"),
      lost_repeated(m, "insula_queue_lost_commits_repeated_total",
                    "Commits whose answer was lost and that had not happened"),
      rescued(m, "insula_queue_rescued_total", "Runs taken from dead workers"),
      postponed_unknown(m, "insula_queue_unknown_total",
                        "Runs of a kind or version not known here"),
      wakes_local(m, "insula_queue_wakes_total", "Looks by what caused them", {{"by", "local"}}),
      wakes_notified(m, "insula_queue_wakes_total", "Looks by what caused them",
                     {{"by", "notify"}}),
      wakes_polled(m, "insula_queue_wakes_total", "Looks by what caused them", {{"by", "poll"}}),
      registrations(m, "insula_queue_registrations_total", "Registrations as a worker"),
      pickup(m.histogram("insula_queue_pickup_seconds", "From enqueue to first claim")),
      step_seconds(m.histogram("insula_queue_run_seconds", "From claim to its end or parking")),
      running(m.gauge("insula_queue_running", "Runs being worked on")) {}

}  // namespace detail

engine::state::state(runtime::loop& loop, pg::pool& pool, pg::connection_budget& connections,
                     const registry& known, engine_options settings, observe::metrics& m)
    : home_(loop),
      pool_(pool),
      budget_(connections),
      workflows_(known),
      options_(std::move(settings)),
      metrics_(m),
      count_(m),
      tasks_(loop, "queue"),
      drivers_(loop, "queue runs"),
      bell_(loop),
      slot_free_(loop),
      others_(loop),
      claiming_done_(loop),
      random_(random_u64()),
      boot_id_(make_uuid_v7()) {}

bool engine::state::owns(std::uint64_t claimed_in) const {
    return epoch_ != 0 && epoch_ == claimed_in && healthy();
}

bool engine::state::healthy() const {
    return epoch_ != 0 && options_.steady_now() - beat_at_ <= options_.lease / 2;
}

runtime::deadline engine::state::call_deadline() const {
    return runtime::deadline::after(std::min<std::chrono::milliseconds>(
        std::max<std::chrono::milliseconds>(options_.lease / 2, std::chrono::milliseconds(500)),
        std::chrono::seconds(5)));
}

void engine::state::moved(run_id id) {
    changes_.publish(id);
}

void engine::state::committed(bool enqueued_children) {
    if (enqueued_children) {
        rung_local_ = true;
        bell_.set();
    }
}

runtime::awaitable<pg::pg_result<pg::lease>> engine::state::borrow(runtime::deadline until) {
    if (spare_.empty()) {
        co_return co_await pool_.acquire(until);
    }
    pg::lease connection = std::move(spare_.back());
    spare_.pop_back();
    connection.expires_at(until);
    co_return connection;
}

void engine::state::put_back(pg::lease connection) {
    if (spare_.size() < spare_max && !connection.in_transaction() && !draining_) {
        connection.expires_at(runtime::deadline::never());
        spare_.push_back(std::move(connection));
    }
}

runtime::deadline engine::state::jittered(std::chrono::milliseconds about) {
    std::uniform_real_distribution<double> spread(0.75, 1.25);
    return runtime::deadline::after(std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double, std::milli>(static_cast<double>(about.count()) *
                                                  spread(random_))));
}

std::chrono::microseconds engine::state::backoff(const retry_policy& policy, int attempt) {
    // 2^20 times any base is beyond every cap.
    const double factor = static_cast<double>(1 << std::clamp(attempt - 1, 0, 20));
    const double wanted = std::min(static_cast<double>(policy.cap.count()),
                                   static_cast<double>(policy.base.count()) * factor);
    std::uniform_real_distribution<double> spread(0.5, 1.5);
    return std::chrono::microseconds(static_cast<std::int64_t>(wanted * 1000 * spread(random_)));
}

runtime::awaitable<void> engine::state::dispatch() {
    while (!draining_) {
        if (!healthy()) {
            co_await bell_.wait(jittered(options_.poll));
            continue;
        }
        if (running_ >= options_.workers) {
            co_await slot_free_.wait(jittered(options_.poll));
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
    claiming_done_.set();
}

/// True when there may be more: look again as soon as there is a free slot.
runtime::awaitable<bool> engine::state::claim_once() {
    const unsigned limit = std::min(options_.workers - running_, claim_max);
    const auto token = static_cast<std::int64_t>(random_u64());
    const std::uint64_t epoch = epoch_;
    pg::unit work;
    work.add(sql::fire_timers, timers_max);
    for (const std::int16_t queue : options_.queues) {
        work.add(sql::claim, worker_id_, token, queue, static_cast<std::int32_t>(limit));
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
    const auto next = (*got)[0].scalar<std::optional<std::int64_t>>();
    next_timer_ =
        next ? runtime::deadline::after(std::chrono::milliseconds(std::max<std::int64_t>(*next, 0)))
             : runtime::deadline::never();
    unsigned taken = 0;
    for (std::size_t i = 1; i < got->size(); ++i) {
        for (const pg::row r : (*got)[i]) {
            detail::claimed_run run = detail::read_claim(r, token, epoch);
            if (run.attempt == 1 && run.step == 0 && run.direction > 0) {
                count_.pickup.observe(run.waited);
            }
            in_hand_.insert_or_assign(run.id, token);
            count_.running.set(++running_);
            ++taken;
            drivers_.spawn(drive_one(std::move(run)), "run");
        }
    }
    count_.claimed.add(taken);
    if (taken >= limit) {
        others_.set();  // more than we can take: other processes may have free slots
        co_return true;
    }
    co_return false;
}

namespace {

/// Gives the slot free however the coroutine ends.
class slot_guard {
public:
    slot_guard(engine::state& owner, run_id id, std::int64_t token)
        : owner_(owner), id_(id), token_(token) {}
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
        owner_.count_.step_seconds.observe(std::chrono::steady_clock::now() - begun_);
        owner_.slot_free_.set();
    }

private:
    engine::state& owner_;
    run_id id_;
    std::int64_t token_;
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace

runtime::awaitable<void> engine::state::drive_one(detail::claimed_run run) {
    const slot_guard slot(*this, run.id, run.token);
    detail::driver one(*this, std::move(run));
    co_await one.drive();
}

// --- the public face

engine::engine(runtime::loop& home, pg::pool& workers, pg::connection_budget& budget,
               const registry& workflows, engine_options options, observe::metrics& metrics)
    : state_(
          std::make_shared<state>(home, workers, budget, workflows, std::move(options), metrics)) {}

engine::~engine() = default;

void engine::start() {
    state& s = *state_;
    if (std::exchange(s.started_, true)) {
        return;
    }
    s.tasks_.spawn(s.notify_others(), "notify");
    if (s.options_.workers == 0) {
        return;
    }
    if (!s.options_.listen_conninfo.empty()) {
        s.tasks_.spawn(s.listen(), "listen");
    }
    s.tasks_.spawn(s.heart(), "heartbeat");
    s.tasks_.spawn(s.rescue(), "rescue");
    s.tasks_.spawn(s.audit(), "audit");
    s.tasks_.spawn(s.dispatch(), "dispatch");
}

void engine::wake() {
    runtime::post(state_->home_, [s = state_] {
        if (s->options_.workers > s->running_ && s->healthy() && !s->draining_) {
            s->rung_local_ = true;
            s->bell_.set();
        } else {
            s->others_.set();
        }
    });
}

runtime::awaitable<bool> engine::drain(runtime::deadline until) {
    const auto keep = state_;
    co_return co_await keep->drain(until);
}

run_changes& engine::changes() noexcept {
    return state_->changes_;
}

const registry& engine::workflows() const noexcept {
    return state_->workflows_;
}

engine_stats engine::stats() const noexcept {
    const detail::tallies& c = state_->count_;
    return {.claimed = c.claimed.value(),
            .steps = c.steps.value(),
            .finished = c.finished.value(),
            .retried = c.retried.value(),
            .undone = c.undone.value(),
            .held = c.held.value(),
            .stale_refused = c.stale_refused.value(),
            .lost_commits_landed = c.lost_landed.value(),
            .lost_commits_repeated = c.lost_repeated.value(),
            .rescued = c.rescued.value(),
            .postponed_unknown = c.postponed_unknown.value(),
            .wakes_local = c.wakes_local.value(),
            .wakes_notified = c.wakes_notified.value(),
            .wakes_polled = c.wakes_polled.value(),
            .registrations = c.registrations.value(),
            .running = state_->running_};
}

runtime::awaitable<pg::pg_result<std::optional<run_status>>> engine::wait_final(
    runtime::loop& here, pg::pool& connections, run_id id, runtime::deadline until) {
    const auto keep = state_;
    run_changes::watch changed = keep->changes_.subscribe(here, id);
    for (;;) {
        auto now = co_await read_status(
            connections, keep->workflows_, id,
            until.expired() ? keep->call_deadline() : until.sooner(keep->call_deadline()));
        const bool settled = !now || !*now || (*now)->final() || (*now)->state == run_state::held;
        if (settled || until.expired()) {
            co_return now;
        }
        // Other processes' progress shows at the next look only.
        co_await changed.next(
            until.sooner(runtime::deadline::after(std::chrono::milliseconds(250))));
    }
}

}  // namespace insula::queue
