// The public faces: calls from any loop are carried to the pool's own.
#include "insula/pg/pool.hpp"

#include "pg/detail/pool_core.hpp"

#include "insula/runtime/post.hpp"

namespace insula::pg {
namespace {

using detail::lease_state;
using detail::pool_core;

struct run_call {
    std::shared_ptr<pool_core> core;
    unit work;
    unit_options options;
    runtime::deadline until;
    auto operator()() { return core->run(std::move(work), options, until); }
};

struct acquire_call {
    std::shared_ptr<pool_core> core;
    runtime::deadline until;
    auto operator()() { return core->acquire(until); }
};

struct close_call {
    std::shared_ptr<pool_core> core;
    runtime::deadline until;
    auto operator()() { return core->close(until); }
};

struct exec_call {
    std::shared_ptr<lease_state> on;
    unit work;
    unit_options options;
    bool commit;
    auto operator()() { return on->pool->exec(on, std::move(work), options, commit); }
};

struct end_call {
    std::shared_ptr<lease_state> on;
    bool commit;
    auto operator()() { return commit ? on->pool->commit(on) : on->pool->rollback(on); }
};

struct script_call {
    std::shared_ptr<lease_state> on;
    std::string text;
    auto operator()() { return on->pool->script(on, std::move(text)); }
};

const char* begin_text(isolation level, bool read_only) {
    switch (level) {
        case isolation::repeatable_read:
            return read_only ? "begin isolation level repeatable read read only"
                             : "begin isolation level repeatable read";
        case isolation::serializable:
            return read_only ? "begin isolation level serializable read only"
                             : "begin isolation level serializable";
        default:
            return read_only ? "begin isolation level read committed read only"
                             : "begin isolation level read committed";
    }
}

}  // namespace

pool::pool(runtime::loop& home, pool_options options, connection_budget& budget,
           observe::metrics& metrics, runtime::cpu_pool* resolver)
    : core_(std::make_shared<pool_core>(home, std::move(options), budget.core(), metrics,
                                        resolver)) {}

pool::~pool() = default;

runtime::awaitable<pg_result<results>> pool::run(unit work, unit_options options,
                                                 runtime::deadline until) {
    if (core_->home().runs_here()) {
        return core_->run(std::move(work), options, until);
    }
    return runtime::run_on(core_->home(), run_call{core_, std::move(work), options, until});
}

runtime::awaitable<pg_result<lease>> pool::acquire(runtime::deadline until) {
    return runtime::run_on(core_->home(), acquire_call{core_, until});
}

runtime::awaitable<void> pool::close(runtime::deadline until) {
    return runtime::run_on(core_->home(), close_call{core_, until});
}

pool_stats pool::stats() const noexcept {
    return core_->stats();
}

const std::string& pool::name() const noexcept {
    return core_->options().name;
}

runtime::loop& pool::home() const noexcept {
    return core_->home();
}

lease::lease(lease&& other) noexcept = default;

lease& lease::operator=(lease&& other) noexcept {
    if (this != &other) {
        give_back();
        state_ = std::move(other.state_);
    }
    return *this;
}

lease::~lease() {
    give_back();
}

void lease::give_back() noexcept {
    if (!state_) {
        return;
    }
    runtime::loop& home = state_->pool->home();
    runtime::post(home, [state = std::exchange(state_, nullptr)] {
        const auto pool = state->pool;  // reclaim() lives in the pool's own tasks
        pool->take_back(state);
    });
}

runtime::awaitable<pg_result<results>> lease::exec(unit work, unit_options options) {
    return runtime::run_on(state_->pool->home(),
                           exec_call{state_, std::move(work), options, false});
}

runtime::awaitable<pg_result<results>> lease::exec_and_commit(unit work, unit_options options) {
    return runtime::run_on(state_->pool->home(), exec_call{state_, std::move(work), options, true});
}

runtime::awaitable<pg_result<>> lease::begin(isolation level, bool read_only) {
    if (state_->phase != lease_state::transaction::none) {
        throw std::logic_error("begin() inside a transaction");
    }
    state_->phase = lease_state::transaction::pending;
    state_->begin_sql = begin_text(level, read_only);
    state_->failure.reset();
    if (state_->spoiled) {
        state_->failure = state_->spoiled;
    }
    co_return pg_result<>();
}

runtime::awaitable<pg_result<>> lease::commit() {
    return runtime::run_on(state_->pool->home(), end_call{state_, true});
}

runtime::awaitable<pg_result<>> lease::rollback() {
    return runtime::run_on(state_->pool->home(), end_call{state_, false});
}

runtime::awaitable<pg_result<>> lease::exec_script(std::string text) {
    return runtime::run_on(state_->pool->home(), script_call{state_, std::move(text)});
}

void lease::expires_at(runtime::deadline when) noexcept {
    state_->until = when;
}

runtime::deadline lease::expires() const noexcept {
    return state_->until;
}

bool lease::in_transaction() const noexcept {
    return state_->phase != lease_state::transaction::none;
}

int lease::backend_pid() const noexcept {
    return state_->pid;
}

const pg_error* lease::failure() const noexcept {
    return state_->failure ? &*state_->failure : nullptr;
}

}  // namespace insula::pg
