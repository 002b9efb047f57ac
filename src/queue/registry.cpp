#include "insula/queue/registry.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace insula::queue {

void registry::insert(std::unique_ptr<definition> what) {
    auto key = std::make_pair(std::string(what->kind()), what->version());
    if (!definitions_.try_emplace(std::move(key), std::move(what)).second) {
        throw std::logic_error(fmt::format("workflow {} version {} is registered twice",
                                           what->kind(), what->version()));
    }
}

const definition* registry::find(std::string_view kind, int version) const noexcept {
    // The map is small and the key is made of a string: a walk allocates nothing.
    for (const auto& [key, found] : definitions_) {
        if (key.second == version && key.first == kind) {
            return found.get();
        }
    }
    return nullptr;
}

}  // namespace insula::queue
