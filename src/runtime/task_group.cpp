#include "insula/runtime/task_group.hpp"

#include "insula/observe/log.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/runtime/detail/wait_op.hpp"
#include "insula/runtime/post.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <cassert>
#include <exception>
#include <utility>
#include <vector>

namespace insula::runtime {

// Shared with every task: what is left of the group when its owner is gone before a stopped loop's
// frames.
struct task_group::state {
    state(loop& l, std::string n, observe::counter* c)
        : home(l), name(std::move(n)), failure_counter(c) {}

    loop& home;
    std::string name;
    observe::counter* failure_counter;
    bool closed = false;
    bool cancelled = false;
    std::uint64_t failures = 0;
    std::size_t size = 0;
    task* first = nullptr;
    detail::wait_op::list joiners;
};

// Listed from spawn() to the end of the coroutine, whether it returned, threw or was destroyed.
struct task_group::task : std::enable_shared_from_this<task> {
    task(std::shared_ptr<state> g, const char* w) : group(std::move(g)), what(w) {
        next = group->first;
        group->first = this;
        before = &group->first;
        if (next != nullptr) {
            next->before = &next;
        }
        ++group->size;
    }
    ~task() {
        *before = next;
        if (next != nullptr) {
            next->before = before;
        }
        if (--group->size == 0) {
            group->joiners.finish_all(true);
        }
    }
    task(const task&) = delete;
    task& operator=(const task&) = delete;

    void ended(const std::exception_ptr& thrown) const {
        if (!thrown) {
            return;
        }
        std::string reason;
        try {
            std::rethrow_exception(thrown);
        } catch (const boost::system::system_error& failure) {
            if (group->cancelled && failure.code() == asio::error::operation_aborted) {
                return;  // what stop() asked for
            }
            reason = failure.what();
        } catch (const std::exception& failure) {
            reason = failure.what();
        } catch (...) {
            reason = "unknown exception";
        }
        ++group->failures;
        if (group->failure_counter != nullptr) {
            group->failure_counter->add();
        }
        observe::error("task failed", {{"group", group->name}, {"task", what}, {"reason", reason}});
    }

    std::shared_ptr<state> group;
    const char* what;
    asio::cancellation_signal signal;
    task* next = nullptr;
    task** before = nullptr;
};

task_group::task_group(loop& home, std::string name, observe::counter* failures)
    : state_(std::make_shared<state>(home, std::move(name), failures)) {}

task_group::~task_group() {
    assert((state_->size == 0 || state_->home.stopping()) && "join a task group before it goes");
}

bool task_group::spawn(awaitable<void> work, const char* what) {
    if (state_->closed) {
        return false;
    }
    auto owned = std::make_shared<task>(state_, what);
    post(state_->home, [work = std::move(work), owned = std::move(owned)]() mutable {
        if (owned->group->cancelled) {
            return;  // stopped before it began
        }
        auto slot = owned->signal.slot();
        auto& home = owned->group->home;
        asio::co_spawn(home.get_executor(), std::move(work),
                       asio::bind_cancellation_slot(
                           slot, [owned = std::move(owned)](const std::exception_ptr& thrown) {
                               owned->ended(thrown);
                           }));
    });
    return true;
}

void task_group::close() noexcept {
    state_->closed = true;
}

void task_group::stop() noexcept {
    state_->closed = true;
    state_->cancelled = true;
    // A task may end while others are told: first collect, then tell those that are still there.
    std::vector<std::weak_ptr<task>> running;
    for (auto* one = state_->first; one != nullptr; one = one->next) {
        running.push_back(one->weak_from_this());
    }
    for (const auto& one : running) {
        if (const auto alive = one.lock()) {
            alive->signal.emit(asio::cancellation_type::terminal);
        }
    }
}

bool task_group::stopping() const noexcept {
    return state_->closed;
}

awaitable<bool> task_group::join(deadline until) {
    const auto group = state_;
    while (group->size > 0) {
        const bool empty =
            co_await asio::async_initiate<const asio::use_awaitable_t<executor>&, void(bool)>(
                detail::start_wait{}, use_awaitable, &group->home, &group->joiners,
                detail::wait_op::request{.until = until});
        if (!empty) {
            co_return group->size == 0;
        }
    }
    co_return true;
}

std::size_t task_group::size() const noexcept {
    return state_->size;
}
std::uint64_t task_group::failures() const noexcept {
    return state_->failures;
}
const std::string& task_group::name() const noexcept {
    return state_->name;
}
loop& task_group::home() const noexcept {
    return state_->home;
}

}  // namespace insula::runtime
