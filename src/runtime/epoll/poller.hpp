#pragma once

#include "runtime/reactor.hpp"

#include "insula/runtime/loop.hpp"

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace insula::runtime::detail {

// What an epoll registration points to.
class poll_target {
public:
    // events: EPOLL*. May remove or destroy any target, this one too.
    virtual void ready(std::uint32_t events) = 0;

protected:
    ~poll_target() = default;
};

// The loop's kernel where io_uring is refused: readiness by epoll(7), reading and writing by system
// calls.
class poller final : public reactor {
public:
    explicit poller(loop& home);
    ~poller() override;
    poller(const poller&) = delete;
    poller& operator=(const poller&) = delete;

    void start() override {}
    void enter(std::chrono::nanoseconds timeout) override;
    void dispatch() override;
    void wake() noexcept override;
    void drain() override {}  // the kernel never holds our memory
    stream_state* make_stream(int fd) override;
    std::shared_ptr<watch_state> make_watch(int fd) override;
    std::shared_ptr<listener_state> make_listener(int fd, address where, bool unlink) override;
    int socket_flags() const noexcept override;

    // 0 or the errno of epoll_ctl(2).
    int add(int fd, std::uint32_t events, poll_target& target) noexcept;
    int modify(int fd, std::uint32_t events, poll_target& target) noexcept;
    // What was already seen for the target is forgotten, too: it may be destroyed.
    void remove(int fd, poll_target& target) noexcept;

private:
    int wait(std::chrono::nanoseconds timeout) noexcept;

    loop& home_;
    int epoll_ = -1;
    int event_ = -1;
    std::array<epoll_event, 256> seen_;
    std::size_t seen_count_ = 0;
    std::size_t seen_at_ = 0;
};

}  // namespace insula::runtime::detail
