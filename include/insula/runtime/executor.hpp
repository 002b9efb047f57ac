#pragma once

#include "insula/runtime/detail/frame_memory.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace insula::runtime {

namespace asio = boost::asio;
using boost::system::error_code;

class loop;

namespace detail {

// One entry of a loop's queue. Exactly one of run() and drop() is called, once; either may delete
// the item.
class work_item {
public:
    virtual void run() = 0;
    // The loop has stopped: release what is held, without running it.
    virtual void drop() noexcept = 0;

    work_item* next_work = nullptr;

protected:
    ~work_item() = default;
};

inline constinit thread_local loop* running_loop = nullptr;

void push_work(loop& target, work_item& item) noexcept;
asio::execution_context& context_of(loop& owner) noexcept;

template <class Function>
class function_item final : public work_item {
    using allocator = asio::recycling_allocator<function_item>;

public:
    template <class F>
    static function_item* make(F&& function) {
        allocator memory;
        auto* place = memory.allocate(1);
        try {
            return ::new (static_cast<void*>(place)) function_item(std::forward<F>(function));
        } catch (...) {
            memory.deallocate(place, 1);
            throw;
        }
    }

    void run() override {
        // Memory goes back first, so that what the function posts next finds it in the cache.
        Function function(std::move(function_));
        release();
        std::move(function)();
    }
    void drop() noexcept override { release(); }

private:
    template <class F>
    explicit function_item(F&& function) : function_(std::forward<F>(function)) {}
    ~function_item() = default;

    void release() noexcept {
        this->~function_item();
        allocator().deallocate(this, 1);
    }

    Function function_;
};

}  // namespace detail

// The executor of one loop: what coroutines, streams and handlers of that loop run on. Trivially
// copyable, never null. blocking.possibly (the default) runs a function at once when called on the
// loop's own thread; blocking.never always queues. Work is not counted: a loop runs until stop().
// Any thread may execute(); the loop must outlive every copy in use.
class executor {
public:
    // Lets `co_await stream.async_read_some(buffer)` do without a completion token.
    using default_completion_token_type = asio::use_awaitable_t<executor>;

    explicit executor(loop& owner, bool never_blocks = false) noexcept
        : loop_(&owner), never_blocks_(never_blocks) {}

    loop& owner() const noexcept { return *loop_; }
    bool running_in_this_thread() const noexcept { return detail::running_loop == loop_; }
    // Would execute() run the function at once?
    bool runs_at_once() const noexcept { return !never_blocks_ && running_in_this_thread(); }

    template <class F>
    void execute(F&& function) const {
        using function_type = std::decay_t<F>;
        if (runs_at_once()) {
            function_type local(std::forward<F>(function));
            std::move(local)();
            return;
        }
        detail::push_work(*loop_,
                          *detail::function_item<function_type>::make(std::forward<F>(function)));
    }

    // Asio's executor properties.
    asio::execution_context& query(asio::execution::context_t) const noexcept {
        return detail::context_of(*loop_);
    }
    asio::execution::blocking_t query(asio::execution::blocking_t) const noexcept {
        if (never_blocks_) {
            return asio::execution::blocking.never;
        }
        return asio::execution::blocking.possibly;
    }
    static constexpr asio::execution::mapping_t query(asio::execution::mapping_t) noexcept {
        return asio::execution::mapping.thread;
    }
    executor require(asio::execution::blocking_t::never_t) const noexcept {
        return executor(*loop_, true);
    }
    executor require(asio::execution::blocking_t::possibly_t) const noexcept {
        return executor(*loop_, false);
    }

    bool operator==(const executor&) const noexcept = default;

private:
    loop* loop_;
    bool never_blocks_;
};

// Every coroutine of the service: no type-erased executor on the hot path. Frames come from
// frame_memory (below).
template <class T = void>
using awaitable = asio::awaitable<T, executor>;

inline constexpr asio::use_awaitable_t<executor> use_awaitable;

}  // namespace insula::runtime

namespace boost::asio::detail {

template <>
inline void* awaitable_frame_base<insula::runtime::executor>::operator new(std::size_t size) {
    return insula::runtime::detail::frame_memory::allocate(size);
}
template <>
inline void awaitable_frame_base<insula::runtime::executor>::operator delete(void* pointer,
                                                                             std::size_t size) {
    insula::runtime::detail::frame_memory::deallocate(pointer, size);
}

}  // namespace boost::asio::detail
