#include "descriptors.hpp"

#include "insula/observe/log.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <limits>

namespace insula::app {
namespace {

// Rings, listeners, signals, logs, templates, mails being written, and a few to look at trouble
// with.
constexpr std::size_t reserved_for_the_rest = 128;
constexpr std::size_t connections_least = 16;

std::size_t descriptors_max() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return std::numeric_limits<std::size_t>::max();
    }
    return limit.rlim_cur;
}

void raise_soft_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

std::size_t open_descriptors() {
    constexpr const char* folder = "/proc/self/fd";
    struct stat about{};
    // Since Linux 6.2 the folder's size is their number; before it is 0 and they must be counted.
    if (::stat(folder, &about) == 0 && about.st_size > 0) {
        return static_cast<std::size_t>(about.st_size);
    }
    std::error_code failed;
    const std::filesystem::directory_iterator all(folder, failed);
    return failed ? 0 : static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

std::size_t connections_that_fit(std::size_t wanted, std::size_t descriptors, std::size_t reserved,
                                 std::size_t servers) noexcept {
    const auto left = descriptors > reserved ? descriptors - reserved : 0;
    const auto each = std::max(left / std::max<std::size_t>(servers, 1), connections_least);
    return std::min(wanted, each);
}

std::size_t connections_that_fit(const config& values) {
    raise_soft_limit();
    const auto wanted = values.http_limits.connections_max;
    const auto servers = values.listen.size() + (values.admin_listen.empty() ? 0 : 1);
    // libpq's socket, and the number under which it is watched.
    const auto reserved = 2 * values.database_connections + values.workers + reserved_for_the_rest;
    const auto fit = connections_that_fit(wanted, descriptors_max(), reserved, servers);
    if (fit < wanted) {
        observe::warn(
            "fewer connections than configured: the limit of open files is low "
            "(ulimit -Hn, LimitNOFILE=)",
            {{"descriptors_max", descriptors_max()},
             {"connections_max", fit},
             {"configured", wanted}});
    }
    return fit;
}

void count_descriptors(observe::metrics& to) {
    to.gauge_from("insula_descriptors", "Open files and sockets of the process", {},
                  [] { return static_cast<double>(open_descriptors()); });
    to.gauge_from("insula_descriptors_max", "Limit of insula_descriptors", {},
                  [] { return static_cast<double>(descriptors_max()); });
}

}  // namespace insula::app
