#include "insula/queue/fault.hpp"

#ifdef INSULA_FAULT_POINTS
#include "insula/runtime/event.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/post.hpp"

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

namespace insula::queue::fault {

namespace {

struct held_place {
    explicit held_place(runtime::loop& loop) : home(loop), bell(loop) {}
    runtime::loop& home;
    runtime::event bell;
};

struct place {
    unsigned at = 0;
    unsigned seen = 0;
    action what = action::kill;
    std::shared_ptr<held_place> held;
};

std::mutex places_mutex;
std::map<std::string, place, std::less<>>& places() {
    static std::map<std::string, place, std::less<>> all;
    return all;
}
std::atomic<bool> any_armed{false};

action parse_action(std::string_view text) {
    if (text == "kill") {
        return action::kill;
    }
    if (text == "kill_next_turn") {
        return action::kill_next_turn;
    }
    if (text == "throw") {
        return action::throws;
    }
    if (text == "stop") {
        return action::stop;
    }
    std::fprintf(stderr, "INSULA_FAULT: unknown action %.*s\n", static_cast<int>(text.size()),
                 text.data());
    std::abort();
}

/// name:n:action, separated by commas.
bool arm_from_environment() {
    const char* setting = std::getenv("INSULA_FAULT");
    std::string_view rest = setting ? setting : "";
    while (!rest.empty()) {
        const std::string_view one = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), one.size() + 1));
        const auto last = one.rfind(':');
        const auto first = last == std::string_view::npos ? last : one.rfind(':', last - 1);
        if (first == std::string_view::npos) {
            std::fprintf(stderr, "INSULA_FAULT wants name:n:action\n");
            std::abort();
        }
        unsigned at = 1;
        std::from_chars(one.data() + first + 1, one.data() + last, at);
        arm(one.substr(0, first), at, parse_action(one.substr(last + 1)));
    }
    return true;
}

}  // namespace

void arm(std::string_view name, unsigned at, action what) {
    const std::lock_guard lock(places_mutex);
    places().insert_or_assign(std::string(name), place{.at = at, .what = what});
    any_armed = true;
}

void clear() {
    const std::lock_guard lock(places_mutex);
    for (auto& [name, p] : places()) {
        if (p.held) {
            runtime::post(p.held->home, [h = p.held] { h->bell.set(); });
        }
    }
    places().clear();
    any_armed = false;
}

void release(std::string_view name) {
    const std::lock_guard lock(places_mutex);
    const auto found = places().find(name);
    if (found != places().end() && found->second.held) {
        runtime::post(found->second.held->home, [h = found->second.held] { h->bell.set(); });
        found->second.held.reset();
    }
}

unsigned arrivals(std::string_view name) {
    const std::lock_guard lock(places_mutex);
    const auto found = places().find(name);
    return found == places().end() ? 0 : found->second.seen;
}

bool holding(std::string_view name) {
    const std::lock_guard lock(places_mutex);
    const auto found = places().find(name);
    return found != places().end() && found->second.held != nullptr;
}

bool active() noexcept {
    static const bool once = arm_from_environment();
    return once && any_armed.load(std::memory_order_relaxed);
}

runtime::awaitable<void> reach(std::string_view name) {
    std::shared_ptr<held_place> hold;
    action what{};
    {
        const std::lock_guard lock(places_mutex);
        const auto found = places().find(name);
        if (found == places().end() || ++found->second.seen != found->second.at) {
            co_return;
        }
        what = found->second.what;
        if (what == action::hold) {
            hold = std::make_shared<held_place>(*runtime::loop::current());
            found->second.held = hold;
        }
    }
    switch (what) {
        case action::kill:
            ::kill(::getpid(), SIGKILL);
            break;
        case action::stop:
            ::raise(SIGSTOP);  // to this thread: one for the process would let it run on a little
            break;
        case action::throws:
            throw std::runtime_error("fault injected at " + std::string(name));
        case action::hold:
            co_await hold->bell.wait(runtime::deadline::never());
            break;
        case action::kill_next_turn:
            runtime::post(*runtime::loop::current(), [] { ::kill(::getpid(), SIGKILL); });
            break;
    }
}

}  // namespace insula::queue::fault
#endif
