// What the sessions of one loop share: room, and turns.
#include "http/session.hpp"

#include <algorithm>

namespace insula::http {
namespace {

constexpr unsigned pipelined_per_turn = 4;

}  // namespace

std::optional<place> crowd::make_room() noexcept {
    constexpr std::chrono::seconds patience(1);
    const auto now = runtime::steady_clock::now();
    const bool stale = fresh.size > 0 && fresh.list.front().since() + patience <= now;
    auto& from = stale || fresh.size > kept.size ? fresh.list : kept.list;
    if (from.empty())
        return std::nullopt;
    return from.front().give_place();
}

bool crowd::take_turn() noexcept {
    if (const auto now = home_.stats().turns; now != turn_) {
        turn_ = now;
        left_ = pipelined_per_turn;
    }
    if (left_ == 0)
        return false;
    --left_;
    return true;
}

/// Of those that find no turn left the first sleeps until the loop has looked at the kernel, then
/// wakes as many as there are turns. Whoever leaves while others wait and nobody sleeps for them
/// wakes one more, who then finds a turn or sleeps: those woken may run on both sides of a look at
/// the kernel and so all find a turn.
runtime::awaitable<void> crowd::pipelined_turn() {
    while (!take_turn()) {
        if (pumped_) {
            ++waiting_;
            const bool woken = co_await next_.wait(runtime::deadline::never());
            --waiting_;
            if (!woken)
                co_return pass_on();
            continue;
        }
        pumped_ = true;
        const bool slept = co_await next_turn_.wait({runtime::steady_clock::now()});
        pumped_ = false;
        if (!slept)
            co_return pass_on();
        for (auto n = std::min<std::size_t>(waiting_, pipelined_per_turn); n > 0; --n)
            next_.set();
    }
    pass_on();
}

void crowd::pass_on() noexcept {
    if (waiting_ > 0 && !pumped_)
        next_.set();
}

}  // namespace insula::http
