#include "insula/pg/listen.hpp"

#include "pg/detail/connect.hpp"
#include "pg/detail/pool_parts.hpp"
#include "pg/detail/retry.hpp"
#include "pg/detail/sql_text.hpp"

#include "insula/core/random.hpp"
#include "insula/observe/log.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/post.hpp"
#include "insula/runtime/task_group.hpp"

#include <algorithm>
#include <deque>

namespace insula::pg {
namespace {

constexpr std::size_t kept_max = 1024;

double random_unit() {
    return static_cast<double>(random_u64() >> 11) / static_cast<double>(1ULL << 53);
}

}  // namespace

using detail::backoff;
using detail::request;

struct listener_connection::state final : detail::connection_owner,
                                          detail::budget_member,
                                          std::enable_shared_from_this<state> {
    state(runtime::loop& h, listen_options o, detail::budget_core& b, observe::metrics& metrics,
          runtime::cpu_pool* r)
        : home(h),
          options(std::move(o)),
          budget(b),
          counters(detail::register_counters(metrics, options.name)),
          resolver(r),
          tasks(h, "pg." + options.name),
          bell(h),
          pause(options.backoff_max) {
        budget.join(*this);
    }
    ~state() override { budget.leave(*this); }

    void unit_finished(detail::connection&) noexcept override {}
    void connection_closed(detail::connection&) noexcept override {}
    void connection_broken(detail::connection& which) noexcept override {
        if (open.get() == &which) {
            open.reset();
            keep({.what = notification::kind::down, .channel = {}, .payload = {}});
        }
    }
    void notified(std::string channel, std::string payload) override {
        keep({.what = notification::kind::message,
              .channel = std::move(channel),
              .payload = std::move(payload)});
    }
    void budget_freed() noexcept override {
        runtime::post(home, [weak = weak_from_this()] {
            if (const auto self = weak.lock()) {
                self->bell.set();
            }
        });
    }
    void budget_wanted() noexcept override {}  // its one connection is never idle

    void keep(notification what) {
        if (kept.size() >= kept_max) {  // `up` comes in front whatever there is
            kept.pop_front();
        }
        kept.push_back(std::move(what));
        bell.set();
    }

    void ensure_connecting();
    runtime::awaitable<void> connect(detail::budget_ticket ticket);
    runtime::awaitable<bool> listen(detail::connection& on);
    runtime::awaitable<notification> next(runtime::deadline until);
    runtime::awaitable<pg_result<results>> exec(unit work, unit_options what,
                                                runtime::deadline until);
    runtime::awaitable<void> close();

    runtime::loop& home;
    listen_options options;
    detail::budget_core& budget;
    std::shared_ptr<detail::pool_counters> counters;
    runtime::cpu_pool* resolver;
    runtime::task_group tasks;
    runtime::event bell;
    backoff pause;
    std::deque<notification> kept;
    std::shared_ptr<detail::connection> open;
    bool connecting = false;
    bool closed = false;
};

void listener_connection::state::ensure_connecting() {
    if (open || connecting || closed || !pause.may_try(backoff::clock::now()) ||
        !budget.try_take(*this)) {
        return;
    }
    connecting = true;
    tasks.spawn(connect(detail::budget_ticket(budget, counters)), "pg.listen");
}

runtime::awaitable<void> listener_connection::state::connect(detail::budget_ticket ticket) {
    const detail::connect_options how{.conninfo = options.conninfo,
                                      .application_name = "insula " + options.name,
                                      .statement_bytes_max = 1U << 20,
                                      .owner = weak_from_this()};
    auto opened =
        co_await detail::open_connection(home, how, counters, resolver, tasks, std::move(ticket),
                                         runtime::deadline::after(options.connect_timeout));
    bool up = false;
    if (opened) {
        up = co_await listen(**opened);
    } else {
        observe::warn("pg.connect_failed", {{"pool", options.name},
                                            {"state", opened.error().state.str()},
                                            {"reason", opened.error().message}});
    }
    connecting = false;
    if (up && !closed) {
        pause.succeeded();
        open = std::move(*opened);
        // In front: what was notified before it could be seen is covered by the look that follows
        // `up`.
        kept.push_front({.what = notification::kind::up, .channel = {}, .payload = {}});
    } else {
        if (opened) {
            (*opened)->shut_down();
        }
        pause.failed(backoff::clock::now(), random_unit());
    }
    bell.set();
}

runtime::awaitable<bool> listener_connection::state::listen(detail::connection& on) {
    unit work;
    for (const std::string& channel : options.channels) {
        work.add_once("listen " + detail::quote_identifier(channel));
    }
    const auto until = runtime::deadline::after(options.connect_timeout);
    const auto what = std::make_shared<request>(home, std::move(work), unit_options{}, until);
    what->why = request::purpose::maintenance;
    what->preamble = false;
    on.send(what);
    (void)co_await what->done.wait(until);
    co_return what->finished && !what->error && on.usable();
}

runtime::awaitable<notification> listener_connection::state::next(runtime::deadline until) {
    for (;;) {
        if (!kept.empty()) {
            notification first = std::move(kept.front());
            kept.pop_front();
            co_return first;
        }
        if (closed) {
            co_return notification{.what = notification::kind::down, .channel = {}, .payload = {}};
        }
        ensure_connecting();
        runtime::deadline look = until;
        if (!open && !connecting && !pause.may_try(backoff::clock::now())) {
            look = look.sooner(runtime::deadline{pause.next()});
        }
        if (!co_await bell.wait(look) && until.expired()) {
            co_return notification{};
        }
    }
}

runtime::awaitable<pg_result<results>> listener_connection::state::exec(unit work, unit_options how,
                                                                        runtime::deadline until) {
    const auto what = std::make_shared<request>(home, std::move(work), how, until);
    for (;;) {
        const auto on = open;
        if (!on) {
            co_return pg_error{.state = sqlstate::connection_failure,
                               .message = "the listening connection is down"};
        }
        on->send(what);
        if (!what->finished) {
            (void)co_await what->done.wait(detail::with_grace(until));
        }
        if (!what->finished) {
            // The heartbeat is how a half-open connection is noticed.
            budget.fell_silent();
            on->condemn({.state = sqlstate::connection_failure,
                         .message = "the heartbeat was not answered in time"});
            co_return pg_error{.state = sqlstate::query_canceled,
                               .message = "no answer by the deadline",
                               .maybe_committed = true};
        }
        if (!what->error) {
            co_return std::move(what->answers);
        }
        if (detail::decide(*what->error, {.repeated = !what->trust_pending}) !=
            detail::verdict::repeat) {
            co_return std::move(*what->error);
        }
        what->trust_pending = false;
        what->rearm();
    }
}

runtime::awaitable<void> listener_connection::state::close() {
    closed = true;
    bell.set_all();
    bell.set();
    if (open) {
        std::exchange(open, nullptr)->shut_down();
    }
    (void)co_await tasks.join(
        runtime::deadline::after(options.connect_timeout * 2 + std::chrono::seconds(2)));
    tasks.stop();
    (void)co_await tasks.join(runtime::deadline::never());
}

listener_connection::listener_connection(runtime::loop& home, listen_options options,
                                         connection_budget& budget, observe::metrics& metrics,
                                         runtime::cpu_pool* resolver)
    : state_(std::make_shared<state>(home, std::move(options), budget.core(), metrics, resolver)) {}

listener_connection::~listener_connection() = default;

runtime::awaitable<notification> listener_connection::next(runtime::deadline until) {
    return state_->next(until);
}

runtime::awaitable<pg_result<results>> listener_connection::exec(unit work, unit_options options,
                                                                 runtime::deadline until) {
    return state_->exec(std::move(work), options, until);
}

bool listener_connection::up() const noexcept {
    return state_->open != nullptr;
}

runtime::awaitable<void> listener_connection::close() {
    return state_->close();
}

}  // namespace insula::pg
