#pragma once
#include "insula/app/config.hpp"

#include <string>
#include <vector>

namespace insula::app {

enum class verdict { ok, warn, fail };
std::string_view name(verdict v);

struct finding {
    std::string check;
    verdict status = verdict::ok;
    std::string detail;  ///< what was seen, and what to do unless it is ok
};

/// What could keep this configuration from running well here. Blocks for some seconds at most.
/// Without a database URL only the machine is examined.
std::vector<finding> examine(const config& values);

/// Whether mail could be delivered: the server answers as configured, or files can be written.
finding examine_mail(const config& values);

}  // namespace insula::app
