#include "runtime/epoll/poller.hpp"

#include "insula/runtime/descriptor.hpp"
#include "insula/runtime/detail/watch_state.hpp"

#include <sys/epoll.h>

namespace insula::runtime::detail {

namespace {

// Level-triggered and one-shot: every wait arms the registration anew, which looks at the
// descriptor's state.
class poll_watch final : public watch_state, private poll_target {
public:
    poll_watch(loop& home, poller& owner, int fd) : watch_state(home, fd), poller_(owner) {}
    ~poll_watch() override {
        if (enrolled_) {
            poller_.remove(fd_, *this);
        }
    }

private:
    void ask(std::size_t index) override {
        if (const int reason = arm(); reason != 0) {
            settle(index, error_code(reason, boost::system::system_category()), false);
        }
    }

    int arm() noexcept {
        std::uint32_t events = EPOLLONESHOT;
        for (std::size_t i = 0; i < places; ++i) {
            if (waits(i)) {
                const int interests = places_[i].interests;
                events |= (interests & descriptor_watch::read) != 0 ? EPOLLIN | EPOLLRDHUP : 0U;
                events |= (interests & descriptor_watch::write) != 0 ? EPOLLOUT : 0U;
            }
        }
        const int reason =
            enrolled_ ? poller_.modify(fd_, events, *this) : poller_.add(fd_, events, *this);
        enrolled_ = enrolled_ || reason == 0;
        return reason;
    }

    // What is still armed may fire once for nobody.
    void withdraw(std::size_t index) noexcept override {
        settle(index, places_[index].stopped, false);
    }

    void forget() noexcept override {
        if (enrolled_) {
            poller_.remove(fd_, *this);
            enrolled_ = false;
        }
        forgotten();
    }

    void ready(std::uint32_t events) override {
        const auto alive = shared_from_this();
        int outcomes[places] = {};
        for (std::size_t i = 0; i < places; ++i) {
            outcomes[i] = waits(i) ? answer(places_[i].interests, events) : 0;
        }
        for (std::size_t i = 0; i < places; ++i) {
            if (outcomes[i] != 0 && waits(i)) {
                settle(i, outcomes[i], false);
            }
        }
        if (waits(0) || waits(1)) {
            if (const int reason = arm(); reason != 0) {
                for (std::size_t i = 0; i < places; ++i) {
                    if (waits(i)) {
                        settle(i, error_code(reason, boost::system::system_category()), false);
                    }
                }
            }
        }
    }

    static int answer(int interests, std::uint32_t events) {
        if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
            return interests;
        }
        int mask = 0;
        if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) {
            mask |= descriptor_watch::read;
        }
        if ((events & EPOLLOUT) != 0) {
            mask |= descriptor_watch::write;
        }
        return mask & interests;
    }

    poller& poller_;
    bool enrolled_ = false;
};

}  // namespace

std::shared_ptr<watch_state> poller::make_watch(int fd) {
    return std::make_shared<poll_watch>(home_, *this, fd);
}

}  // namespace insula::runtime::detail
