#include "runtime/epoll/poller.hpp"
#include "runtime/uring/ring.hpp"

#include "insula/runtime/loop.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <exception>
#include <system_error>

namespace insula::runtime {

namespace {

std::string describe(const detail::ring_refusal& refusal) {
    switch (refusal.reason) {
        case 0:
            return fmt::format("this kernel lacks {}", refusal.what);
        case EPERM:
        case EACCES:
            return fmt::format(
                "io_uring is refused ({}: {}): a container's seccomp profile or the sysctl "
                "kernel.io_uring_disabled forbids it",
                refusal.what, std::generic_category().message(refusal.reason));
        case ENOSYS:
            return "io_uring is refused (io_uring_setup: not implemented): the kernel is built "
                   "without it or a seccomp profile hides it";
        case ENOMEM:
            return fmt::format("io_uring is refused ({}: out of memory): RLIMIT_MEMLOCK may be low",
                               refusal.what);
        default:
            return fmt::format("io_uring is refused ({}: {})", refusal.what,
                               std::generic_category().message(refusal.reason));
    }
}

template <class Reactor>
std::unique_ptr<detail::reactor> make_reactor(loop& home) {
    return std::make_unique<Reactor>(home);
}

}  // namespace

std::string_view name(backend kind) {
    return kind == backend::io_uring ? "io_uring" : "epoll";
}

result<backend_choice> choose_backend(std::string_view setting) {
    if (setting == "epoll") {
        return backend_choice{backend::epoll, "epoll was asked for"};
    }
    if (setting != "auto" && setting != "io_uring") {
        return error(
            errc::internal, {},
            fmt::format("unknown runtime backend '{}': write auto, io_uring or epoll", setting));
    }
    const auto refusal = detail::ring::probe();
    if (!refusal) {
        return backend_choice{backend::io_uring,
                              setting == "auto" ? "io_uring works here" : "io_uring was asked for"};
    }
    if (setting == "auto") {
        return backend_choice{backend::epoll, describe(*refusal) + "; using epoll"};
    }
    return error(errc::internal, {},
                 describe(*refusal) +
                     ". Choose the backend 'auto' or 'epoll', or allow io_uring: in Docker with a "
                     "seccomp profile that permits io_uring_setup, io_uring_enter and "
                     "io_uring_register, on the host with sysctl kernel.io_uring_disabled=0");
}

result<std::unique_ptr<loop>> make_loop(loop_options options) {
    const bool power_of_two =
        options.buffer_count > 0 && (options.buffer_count & (options.buffer_count - 1)) == 0;
    if (options.entries == 0 || !power_of_two || options.buffer_count > 32768 ||
        options.buffer_bytes == 0) {
        return error(errc::internal, {},
                     "loop options: entries and buffer_bytes must not be 0, buffer_count must be a "
                     "power of two up to 32768");
    }
    auto* make = options.kind == backend::io_uring ? &make_reactor<detail::ring>
                                                   : &make_reactor<detail::poller>;
    try {
        return std::unique_ptr<loop>(new loop(options, make));
    } catch (const std::exception& failure) {
        return error(
            errc::internal, {},
            fmt::format("cannot make a loop on {}: {}; 'auto' chooses a backend that works",
                        name(options.kind), failure.what()));
    }
}

}  // namespace insula::runtime
