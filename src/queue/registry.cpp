#include "insula/queue/registry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace insula::queue {

void registry::insert(std::unique_ptr<definition> what) {
    for (const int older : what->continues()) {
        if (older >= what->version()) {
            throw std::logic_error(fmt::format("workflow {} version {} cannot continue version {}",
                                               what->kind(), what->version(), older));
        }
    }
    auto key = std::make_pair(std::string(what->kind()), what->version());
    if (!definitions_.try_emplace(std::move(key), std::move(what)).second) {
        throw std::logic_error(fmt::format("workflow {} version {} is registered twice",
                                           what->kind(), what->version()));
    }
}

const definition* registry::find(std::string_view kind, int version) const noexcept {
    // The map is small and the key is made of a string: a walk allocates nothing. Versions come in
    // ascending order, so the last successor found is the newest.
    const definition* successor = nullptr;
    for (const auto& [key, found] : definitions_) {
        if (key.first != kind) {
            continue;
        }
        if (key.second == version) {
            return found.get();
        }
        if (std::ranges::find(found->continues(), version) != found->continues().end()) {
            successor = found.get();
        }
    }
    return successor;
}

}  // namespace insula::queue
