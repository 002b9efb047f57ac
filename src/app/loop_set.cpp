#include "instance_state.hpp"

#include "insula/observe/log.hpp"

#include <pthread.h>

namespace insula::app {

result<std::unique_ptr<loop_set>> loop_set::make(const config& values) {
    const auto choice = runtime::choose_backend(values.runtime);
    if (!choice) {
        return choice.error();
    }
    observe::info("event loop", {{"backend", runtime::name(choice->kind)}, {"why", choice->why}});
    const auto count =
        values.threads != 0 ? values.threads : std::max(1U, std::thread::hardware_concurrency());
    auto set = std::make_unique<loop_set>();
    for (unsigned i = 0; i < count; ++i) {
        auto loop = runtime::make_loop({.kind = choice->kind});
        if (!loop) {
            return loop.error();
        }
        set->loops_.push_back(std::move(*loop));
    }
    return set;
}

loop_set::~loop_set() {
    stop();
    join();
}

void loop_set::start_threads() {
    for (std::size_t i = 1; i < loops_.size(); ++i) {
        threads_.emplace_back([loop = loops_[i].get()] { loop->run(); });
        (void)pthread_setname_np(threads_.back().native_handle(), "insula-loop");
    }
}

void loop_set::stop() {
    for (auto& loop : loops_) {
        loop->stop();
    }
}

void loop_set::join() {
    for (auto& thread : threads_) {
        if (thread.joinable()) {
            thread.join();
        }
    }
}

std::vector<runtime::loop*> loop_set::all() {
    std::vector<runtime::loop*> out;
    out.reserve(loops_.size());
    for (auto& loop : loops_) {
        out.push_back(loop.get());
    }
    return out;
}

}  // namespace insula::app
