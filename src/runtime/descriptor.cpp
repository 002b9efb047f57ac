#include "insula/runtime/descriptor.hpp"

#include "runtime/reactor.hpp"

#include <utility>

namespace insula::runtime {

using token = const asio::use_awaitable_t<executor>&;

descriptor_watch::descriptor_watch(loop& home, int fd, std::shared_ptr<void> owner)
    : state_(home.io().make_watch(fd)) {
    state_->keep_owner(std::move(owner));
}

descriptor_watch::~descriptor_watch() {
    if (state_) {
        state_->release();
    }
}

descriptor_watch& descriptor_watch::operator=(descriptor_watch&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
}

awaitable<boost::system::result<int>> descriptor_watch::wait(int interests, deadline until) {
    return asio::async_initiate<token, void(boost::system::result<int>)>(
        detail::start_watch{}, use_awaitable, state_, interests, until);
}

void descriptor_watch::cancel() noexcept {
    state_->cancel();
}

awaitable<void> descriptor_watch::release() {
    const auto state = state_;
    state->release();
    if (!state->released()) {
        co_await asio::async_initiate<token, void(bool)>(
            detail::start_wait{}, use_awaitable, loop::current(), &state->releasers(),
            detail::wait_op::request{.until = deadline::never(), .cancellable = false});
    }
}

void descriptor_watch::close() noexcept {
    state_->release();
}

int descriptor_watch::native_handle() const noexcept {
    return state_->native_handle();
}

}  // namespace insula::runtime
