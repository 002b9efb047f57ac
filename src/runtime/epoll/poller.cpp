#include "runtime/epoll/poller.hpp"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <system_error>

namespace insula::runtime::detail {

poller::poller(loop& home) : home_(home) {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
    }
    event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    // Edge by edge: every write to the eventfd is an event, so it never has to be read.
    epoll_event wanted{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
    if (event_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &wanted) != 0) {
        const int reason = errno;
        ::close(epoll_);
        if (event_ >= 0) {
            ::close(event_);
        }
        throw std::system_error(reason, std::generic_category(), "eventfd");
    }
}

poller::~poller() {
    ::close(event_);
    ::close(epoll_);
}

int poller::socket_flags() const noexcept {
    return SOCK_NONBLOCK;
}

int poller::add(int fd, std::uint32_t events, poll_target& target) noexcept {
    epoll_event wanted{.events = events, .data = {.ptr = &target}};
    return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &wanted) == 0 ? 0 : errno;
}

int poller::modify(int fd, std::uint32_t events, poll_target& target) noexcept {
    epoll_event wanted{.events = events, .data = {.ptr = &target}};
    return ::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &wanted) == 0 ? 0 : errno;
}

void poller::remove(int fd, poll_target& target) noexcept {
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
    for (auto i = seen_at_; i < seen_count_; ++i) {
        if (seen_[i].data.ptr == &target) {
            seen_[i].events = 0;
        }
    }
}

int poller::wait(std::chrono::nanoseconds timeout) noexcept {
    constexpr auto capacity = static_cast<int>(std::tuple_size_v<decltype(seen_)>);
    if (timeout == forever || timeout <= std::chrono::nanoseconds::zero()) {
        return ::epoll_wait(epoll_, seen_.data(), capacity, timeout == forever ? -1 : 0);
    }
    constexpr std::int64_t second = 1'000'000'000;
    const timespec span{.tv_sec = timeout.count() / second, .tv_nsec = timeout.count() % second};
    const int count = ::epoll_pwait2(epoll_, seen_.data(), capacity, &span, nullptr);
    if (count >= 0 || errno != ENOSYS) {
        return count;
    }
    // Linux before 5.11: milliseconds, rounded up so that a timer is never early.
    constexpr std::int64_t longest_ms = 1'000'000'000;
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
    return ::epoll_wait(epoll_, seen_.data(), capacity, static_cast<int>(std::min(ms, longest_ms)));
}

void poller::enter(std::chrono::nanoseconds timeout) {
    if (seen_at_ < seen_count_) {
        return;  // an exception left some undispatched
    }
    const int count = wait(timeout);
    if (count < 0 && errno != EINTR) {
        throw std::system_error(errno, std::generic_category(), "epoll_wait");
    }
    seen_at_ = 0;
    seen_count_ = static_cast<std::size_t>(std::max(count, 0));
}

void poller::dispatch() {
    while (seen_at_ < seen_count_) {
        const auto one = seen_[seen_at_++];
        ++home_.stats().completions;
        if (one.data.ptr == nullptr) {
            ++home_.stats().wake_ups;
        } else if (one.events != 0) {
            static_cast<poll_target*>(one.data.ptr)->ready(one.events);
        }
    }
    seen_at_ = seen_count_ = 0;
}

void poller::wake() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(event_, &one, sizeof one);
    assert(written == sizeof one);
}

}  // namespace insula::runtime::detail
