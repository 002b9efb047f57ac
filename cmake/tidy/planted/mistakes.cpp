#include "mistakes.hpp"

#include <coroutine>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace planted {

namespace {

struct task {
    struct promise_type {
        task get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
};

void spawn(std::string name) {
    auto coroutine = [name]() -> task { co_return; };  // finds: cppcoreguidelines-avoid-capturing-lambda-coroutines
    coroutine();
}

task waits_with_a_lock(std::mutex& mutex) {
    const std::lock_guard<std::mutex> held(mutex);  // finds: misc-coroutine-hostile-raii
    co_await std::suspend_always{};  // finds: cppcoreguidelines-no-suspend-with-lock
}

std::string moved_twice(std::string text) {
    std::vector<std::string> kept;
    kept.push_back(std::move(text));
    return text;  // finds: bugprone-use-after-move
}

std::string_view view_of_nothing() {
    const std::string gone = "of this function";
    std::string_view view = std::string(gone);  // finds: bugprone-dangling-handle
    return view;
}

bool always(int value) {
    return value == value;  // finds: misc-redundant-expression
}

int divides(int value) {
    if (value == 0) {
        return 1 / value;  // finds: clang-analyzer-core.DivideZero
    }
    return value;
}

void leaves_memory(bool early) {
    int* const memory = new int(1);
    if (early) {
        return;  // finds: clang-analyzer-cplusplus.NewDeleteLeaks
    }
    delete memory;
}

int number(const char* text) {
    return std::atoi(text);  // finds: cert-err34-c
}

struct base {
    virtual void act() {}
    virtual ~base() = default;
};

struct derived : base {
    virtual void act() {}  // finds: modernize-use-override
};

void copies_each(const std::vector<std::string>& names, std::size_t& sum) {
    for (const std::string each : names) {  // finds: performance-for-range-copy
        sum += each.size();
    }
}

}  // namespace

int linked_from_nowhere() {  // finds: misc-use-internal-linkage
    return 0;
}

namespace {

int WrongCase() {  // finds: readability-identifier-naming
    return 0;
}

}  // namespace

}  // namespace planted
