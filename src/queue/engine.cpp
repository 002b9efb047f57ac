#include "insula/queue/engine.hpp"

#include "queue/engine_state.hpp"
#include "queue/statements.hpp"

#include "insula/core/random.hpp"
#include "insula/runtime/post.hpp"

#include <algorithm>
#include <utility>

namespace insula::queue {

namespace {
constexpr std::size_t spare_max = 4;
}  // namespace

engine::state::state(runtime::loop& loop, pg::pool& pool, pg::connection_budget& connections,
                     const registry& known, engine_options settings, observe::metrics& m,
                     runtime::cpu_pool* names)
    : home_(loop),
      pool_(pool),
      budget_(connections),
      workflows_(known),
      options_(std::move(settings)),
      metrics_(m),
      resolver_(names),
      count_(m),
      tasks_(loop, "queue"),
      drivers_(loop, "queue runs"),
      bell_(loop),
      slot_free_(loop),
      others_(loop),
      claiming_done_(loop),
      random_(random_u64()),
      boot_id_(make_uuid_v7()),
      watermarks_(options_.queues.size()),
      completer_(loop),
      gauges_(m) {}

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

// --- the public face

engine::engine(runtime::loop& home, pg::pool& workers, pg::connection_budget& budget,
               const registry& workflows, engine_options options, observe::metrics& metrics,
               runtime::cpu_pool* resolver)
    : state_(std::make_shared<state>(home, workers, budget, workflows, std::move(options), metrics,
                                     resolver)) {}

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
    for (unsigned i = 0; i < detail::completer::lanes; ++i) {
        s.tasks_.spawn(s.completer_.run(s), "completer");
    }
    if (!s.options_.recurring.empty()) {
        s.tasks_.spawn(s.recur(), "recurring");
    }
    s.tasks_.spawn(s.clean_up(), "retention");
    s.tasks_.spawn(s.measure(), "gauges");
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

void add_pause(pg::unit& work, std::int16_t queue) {
    work.add(sql::pause, queue);
}

void add_resume(pg::unit& work, std::int16_t queue) {
    work.add(sql::unpause, queue);
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
            .recurring_fired = c.recurring_fired.value(),
            .cleaned_up = c.cleaned_up.value(),
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
