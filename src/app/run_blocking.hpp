#pragma once
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

#include <boost/asio/co_spawn.hpp>

#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>

namespace insula::app {

/// Runs one coroutine on `home` on this thread, to its end, then stops the loop. What it throws is
/// thrown here.
template <class T>
T run_blocking(runtime::loop& home, runtime::awaitable<T> work) {
    std::optional<T> value;
    std::exception_ptr thrown;
    boost::asio::co_spawn(home.get_executor(), std::move(work),
                          [&](std::exception_ptr e, T result) {
                              thrown = std::move(e);
                              if (!thrown) {
                                  value = std::move(result);
                              }
                              home.stop();
                          });
    home.run();
    if (thrown) {
        std::rethrow_exception(thrown);
    }
    if (!value) {
        throw std::runtime_error("the event loop ended before its work did");
    }
    return std::move(*value);
}

}  // namespace insula::app
