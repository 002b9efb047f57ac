#pragma once

#include "insula/runtime/executor.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/prefer.hpp>

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace insula::runtime::detail {

// What a pending operation shall do when its handler's cancellation slot fires.
struct cancel_hook {
    void* operation;
    void (*cancel)(void* operation);
    void operator()(asio::cancellation_type_t type) const {
        if (type != asio::cancellation_type::none) {
            cancel(operation);
        }
    }
};

// The type-erased handler of one pending operation, stored in place (a coroutine's handler is one
// pointer), so that an operation costs no allocation. Filled in place and never moved; called or
// reset at most once per filling.
template <class... Args>
class completion {
public:
    completion() = default;
    completion(const completion&) = delete;
    completion& operator=(const completion&) = delete;
    ~completion() { reset(); }

    // hook: called by the handler's cancellation slot, if it has one, while the operation is
    // pending.
    template <class Handler>
    void emplace(executor home, Handler&& handler, cancel_hook hook) {
        using holder_type = holder<std::decay_t<Handler>>;
        if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected()) {
            slot.template emplace<cancel_hook>(hook);
        }
        if constexpr (fits<holder_type>) {
            ::new (static_cast<void*>(storage_)) holder_type(home, std::forward<Handler>(handler));
        } else {
            auto* place = asio::recycling_allocator<holder_type>().allocate(1);
            ::new (static_cast<void*>(place)) holder_type(home, std::forward<Handler>(handler));
            ::new (static_cast<void*>(storage_)) holder_type*(place);
        }
        behaviour_ = &behaviour_of<holder_type>;
    }
    // For operations that nothing cancels.
    template <class Handler>
    void emplace(executor home, Handler&& handler) {
        using holder_type = holder<std::decay_t<Handler>>;
        if constexpr (fits<holder_type>) {
            ::new (static_cast<void*>(storage_)) holder_type(home, std::forward<Handler>(handler));
        } else {
            auto* place = asio::recycling_allocator<holder_type>().allocate(1);
            ::new (static_cast<void*>(place)) holder_type(home, std::forward<Handler>(handler));
            ::new (static_cast<void*>(storage_)) holder_type*(place);
        }
        behaviour_ = &behaviour_of<holder_type>;
    }

    explicit operator bool() const noexcept { return behaviour_ != nullptr; }

    // Empties itself first: the handler may start the next operation in this very place, or destroy
    // it. The handler runs on its associated executor; at once when that is the loop this is called
    // on.
    void operator()(Args... args) {
        std::exchange(behaviour_, nullptr)->call(storage_, std::move(args)...);
    }
    void reset() noexcept {
        if (behaviour_ != nullptr) {
            std::exchange(behaviour_, nullptr)->destroy(storage_);
        }
    }

private:
    static constexpr std::size_t inline_bytes = 96;

    template <class Handler>
    struct holder {
        using executor_type = asio::associated_executor_t<Handler, executor>;
        static constexpr bool own = std::is_same_v<executor_type, executor>;
        // Another context must not run out of work while one of its handlers is pending here.
        using work_type = decltype([] {
            if constexpr (own) {
                return std::type_identity<executor>{};
            } else {
                return std::type_identity<std::decay_t<decltype(asio::prefer(
                    std::declval<const executor_type&>(),
                    asio::execution::outstanding_work.tracked))>>{};
            }
        }())::type;

        template <class H>
        holder(executor home, H&& h)
            : handler(std::forward<H>(h)),
              work(make_work(asio::get_associated_executor(handler, home))) {}
        static work_type make_work(const executor_type& ex) {
            if constexpr (own) {
                return ex;
            } else {
                return asio::prefer(ex, asio::execution::outstanding_work.tracked);
            }
        }

        Handler handler;
        work_type work;
    };

    struct behaviour {
        void (*call)(void* storage, Args... args);
        void (*destroy)(void* storage) noexcept;
    };

    template <class Holder>
    static constexpr bool fits =
        sizeof(Holder) <= inline_bytes && alignof(Holder) <= alignof(std::max_align_t);

    template <class Holder>
    static Holder* held(void* storage) noexcept {
        if constexpr (fits<Holder>) {
            return std::launder(static_cast<Holder*>(storage));
        } else {
            return *std::launder(static_cast<Holder**>(storage));
        }
    }
    template <class Holder>
    static void destroy(void* storage) noexcept {
        auto* holder = held<Holder>(storage);
        holder->~Holder();
        if constexpr (!fits<Holder>) {
            asio::recycling_allocator<Holder>().deallocate(holder, 1);
        }
    }
    template <class Holder>
    static void call(void* storage, Args... args) {
        auto* holder = held<Holder>(storage);
        if (auto slot = asio::get_associated_cancellation_slot(holder->handler);
            slot.is_connected()) {
            slot.clear();
        }
        auto work = std::move(holder->work);
        auto handler = std::move(holder->handler);
        destroy<Holder>(storage);
        if constexpr (Holder::own) {
            if (work.runs_at_once()) {
                std::move(handler)(std::move(args)...);
                return;
            }
        }
        asio::dispatch(work, [handler = std::move(handler), ... args = std::move(args)]() mutable {
            std::move(handler)(std::move(args)...);
        });
    }
    template <class Holder>
    static constexpr behaviour behaviour_of{&call<Holder>, &destroy<Holder>};

    const behaviour* behaviour_ = nullptr;
    alignas(std::max_align_t) unsigned char storage_[inline_bytes];
};

}  // namespace insula::runtime::detail
