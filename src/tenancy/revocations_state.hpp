#pragma once
// The feed's tasks on their home loop, and what every loop reads of them.

#include "feed.hpp"

#include "insula/observe/metrics.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/task_group.hpp"

#include <atomic>
#include <shared_mutex>

namespace insula::tenancy {

/// When the feed was heard, as any thread may ask. In nanoseconds of the steady clock.
class feed_hearing {
public:
    using time_point = runtime::steady_clock::time_point;

    explicit feed_hearing(std::chrono::milliseconds silent_after) : silent_after_(silent_after) {}

    /// A look that began then has succeeded.
    void heard(time_point began) noexcept { heard_ = ticks(began); }
    /// Only a look that begins from now on counts.
    void distrust() noexcept;
    void incomplete(time_point until) noexcept { incomplete_until_ = ticks(until); }
    bool silent() const noexcept;
    double age_seconds() const noexcept;

    std::atomic<std::int64_t> last{0};
    std::atomic<std::size_t> entries{0};

private:
    static std::int64_t ticks(time_point at) noexcept {
        return std::chrono::nanoseconds(at.time_since_epoch()).count();
    }

    std::chrono::nanoseconds silent_after_;
    std::atomic<std::int64_t> heard_{0};
    std::atomic<std::int64_t> trusted_from_{1};
    std::atomic<std::int64_t> incomplete_until_{0};
};

struct revocations::state : std::enable_shared_from_this<state> {
    using time_point = runtime::steady_clock::time_point;

    state(runtime::loop& h, revocations_options o, pg::connection_budget& b, observe::metrics& m,
          runtime::cpu_pool* r)
        : home(h),
          options(std::move(o)),
          budget(b),
          metrics(m),
          resolver(r),
          hearing(std::make_shared<feed_hearing>(options.silent_after)),
          known(options.entries_max, options.keep),
          tasks(h, "feed"),
          bell(h),
          looked(h) {}

    void begin(key_reload reload);
    void show();
    runtime::awaitable<void> listen();
    runtime::awaitable<void> watch();
    runtime::awaitable<bool> look();
    runtime::awaitable<bool> look_safely();
    /// What was committed since the last one, or all there is into `afresh`.
    runtime::awaitable<bool> read(revoked_set* afresh);
    runtime::awaitable<bool> load();
    /// Signs and checks with what the keys are now, though the feed is away.
    runtime::awaitable<void> follow_keys_unheard();
    void take(revoked_set& into, const feed_page& page) const;
    bool clock_is_right();
    void tell(bool heard_now);
    /// True when a look that began after this call has succeeded.
    runtime::awaitable<bool> next_look(runtime::deadline until);
    /// True when one has ended.
    runtime::awaitable<bool> shared_look(runtime::deadline until);
    runtime::awaitable<bool> end();

    runtime::loop& home;
    const revocations_options options;
    pg::connection_budget& budget;
    observe::metrics& metrics;
    runtime::cpu_pool* resolver;
    const std::shared_ptr<feed_hearing> hearing;

    mutable std::shared_mutex guard;
    revoked_set known;  // under guard

    // Below: the home loop only.
    runtime::task_group tasks;
    runtime::event bell;    ///< look now
    runtime::event looked;  ///< a look has ended
    key_reload reload_keys;
    std::unique_ptr<pg::listener_connection> connection;
    std::unique_ptr<feed_reader> reader;
    bool stopping = false;
    bool loaded = false;
    bool keys_due = false;
    bool was_heard = false;
    bool clock_was_right = true;
    std::uint64_t begun = 0;
    std::uint64_t finished = 0;
    std::uint64_t succeeded = 0;
    time_point last_begun{};
    time_point loaded_at{};
    time_point unheard_keys_at{};
    unsigned strangers = 0;  ///< requests that wait in shared_look()
    observe::counter* looks_good = nullptr;
    observe::counter* looks_failed = nullptr;
    observe::counter* loads = nullptr;
};

}  // namespace insula::tenancy
