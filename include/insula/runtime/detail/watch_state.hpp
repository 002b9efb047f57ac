#pragma once

#include "insula/runtime/detail/completion.hpp"
#include "insula/runtime/detail/loop_object.hpp"
#include "insula/runtime/detail/timer_heap.hpp"
#include "insula/runtime/detail/wait_op.hpp"
#include "insula/runtime/loop.hpp"

#include <boost/system/result.hpp>

#include <array>
#include <memory>

namespace insula::runtime::detail {

// What a descriptor_watch is underneath: two places for waits. The backend asks the kernel and
// answers by ready() or failed().
class watch_state : public loop_object, public std::enable_shared_from_this<watch_state> {
public:
    static constexpr std::size_t places = 2;

    watch_state(loop& home, int fd);
    virtual ~watch_state();

    int native_handle() const noexcept { return fd_; }
    void keep_owner(std::shared_ptr<void> owner) noexcept { owner_ = std::move(owner); }

    template <class Handler>
    void wait(int interests, deadline until, Handler&& handler) {
        auto& free = free_place();
        free.handler.emplace(
            home_.get_executor(), std::forward<Handler>(handler),
            cancel_hook{&free, [](void* self) {
                            static_cast<place*>(self)->stop(asio::error::operation_aborted);
                        }});
        begin(free, interests, until);
    }
    void cancel() noexcept;
    // cancel(), and no further waits. released() tells when the kernel has forgotten.
    void release() noexcept;
    bool released() const noexcept { return released_; }
    wait_op::list& releasers() noexcept { return releasers_; }

protected:
    struct place final : timer_node, work_item {
        explicit place(watch_state& o) : owner(o) {}
        void stop(error_code why) noexcept;
        void expire() override { stop(asio::error::timed_out); }
        void run() override;
        void drop() noexcept override;

        watch_state& owner;
        std::shared_ptr<watch_state> keep;  // while pending
        completion<boost::system::result<int>> handler;
        boost::system::result<int> outcome{0};
        error_code stopped;  // why it was told to stop
        int interests = 0;
        bool settled = false;
    };

    // --- for the backend ---
    virtual void ask(std::size_t index) = 0;
    // Answer by settle() with the place's `stopped`, or with readiness that was there first.
    virtual void withdraw(std::size_t index) noexcept = 0;
    // Nothing is pending in any place: drop what the kernel still has; call forgotten() then.
    virtual void forget() noexcept = 0;
    // The handler runs now (from the loop: now = true) or is queued.
    void settle(std::size_t index, boost::system::result<int> outcome, bool now);
    void forgotten() noexcept;
    bool waits(std::size_t index) const noexcept {
        return places_[index].handler && !places_[index].settled;
    }
    bool releasing() const noexcept { return releasing_; }

    loop& home_;
    int fd_;
    std::array<place, places> places_{place(*this), place(*this)};

private:
    // First member: outlives the places; the backends' destructors run before it goes.
    std::shared_ptr<void> owner_;

    place& free_place();
    std::size_t index_of(const place& which) const noexcept;
    void begin(place& which, int interests, deadline until);
    void abandon() noexcept override;

    bool releasing_ = false;
    bool released_ = false;
    wait_op::list releasers_;
};

struct start_watch {
    template <class Handler>
    void operator()(Handler&& handler, const std::shared_ptr<watch_state>& state, int interests,
                    deadline until) const {
        state->wait(interests, until, std::forward<Handler>(handler));
    }
};

}  // namespace insula::runtime::detail
