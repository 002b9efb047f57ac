#include "insula/runtime/detail/watch_state.hpp"

#include <boost/asio/error.hpp>

#include <cassert>

namespace insula::runtime::detail {

watch_state::watch_state(loop& home, int fd) : home_(home), fd_(fd) {
    home.enlist(*this);
}

watch_state::~watch_state() {
    for (auto& place : places_) {
        home_.timers().remove(place);
    }
}

watch_state::place& watch_state::free_place() {
    auto& free = places_[0].handler ? places_[1] : places_[0];
    assert(!free.handler && "two waits for a descriptor at a time");
    return free;
}

std::size_t watch_state::index_of(const place& which) const noexcept {
    return &which == places_.data() ? 0 : 1;
}

void watch_state::begin(place& which, int interests, deadline until) {
    assert(interests > 0 && interests <= 3);
    const auto index = index_of(which);
    which.keep = shared_from_this();
    which.interests = interests;
    which.stopped = {};
    if (releasing_) {
        settle(index, error_code(asio::error::operation_aborted), false);
        return;
    }
    ask(index);
    if (waits(index) && !until.is_never()) {
        home_.timers().set(which, until.at);
    }
}

void watch_state::place::stop(error_code why) noexcept {
    const auto index = owner.index_of(*this);
    if (owner.waits(index) && !stopped) {
        stopped = why;
        owner.withdraw(index);
    }
}

void watch_state::settle(std::size_t index, boost::system::result<int> outcome, bool now) {
    auto& which = places_[index];
    assert(waits(index));
    home_.timers().remove(which);
    which.outcome = outcome;
    which.settled = true;
    if (now && !home_.stopping()) {
        which.run();
    } else {
        home_.push(which);
    }
}

void watch_state::place::run() {
    const auto alive = std::move(keep);
    settled = false;
    handler(outcome);
}

void watch_state::place::drop() noexcept {
    const auto alive = std::move(keep);
    settled = false;
    handler.reset();
}

void watch_state::cancel() noexcept {
    for (auto& place : places_) {
        place.stop(asio::error::operation_aborted);
    }
}

void watch_state::release() noexcept {
    if (releasing_) {
        return;
    }
    releasing_ = true;
    cancel();
    forget();
}

void watch_state::forgotten() noexcept {
    if (!released_) {
        released_ = true;
        delist();
        releasers_.finish_all(true);
    }
}

void watch_state::abandon() noexcept {
    std::array<std::shared_ptr<watch_state>, places> alive;
    releasing_ = true;
    for (std::size_t i = 0; i < places; ++i) {
        alive[i] = std::move(places_[i].keep);
        home_.timers().remove(places_[i]);
        places_[i].settled = false;
        places_[i].handler.reset();
    }
}

}  // namespace insula::runtime::detail
