#pragma once
// The process's limit of open files, and how many connections fit below it.

#include "insula/app/config.hpp"
#include "insula/observe/metrics.hpp"

#include <cstddef>

namespace insula::app {

/// Raises the soft limit of open files to the hard one (systemd's default is 1,024 of 524,288) and
/// says how many connections each server may have, so that they never take the descriptors which
/// the database, mail and files need: http_limits.connections_max, or less with a warning.
std::size_t connections_that_fit(const config& values);

/// As above, by numbers alone.
std::size_t connections_that_fit(std::size_t wanted, std::size_t descriptors, std::size_t reserved,
                                 std::size_t servers) noexcept;

/// insula_descriptors and its limit.
void count_descriptors(observe::metrics& to);

}  // namespace insula::app
