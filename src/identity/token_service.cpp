#include "insula/identity/token_service.hpp"

#include <stdexcept>

namespace insula::identity {

token_service::token_service(std::span<runtime::loop* const> loops, token::authority who,
                             std::shared_ptr<const token::key_set> keys)
    : authority_(who) {
    for (auto* loop : loops) {
        loops_.push_back(std::make_unique<per_loop>(per_loop{
            loop, token::checker(who, keys, cache_entries_per_loop), token::signer(who, keys)}));
    }
}

token_service::per_loop& token_service::here() {
    const auto* current = runtime::loop::current();
    // A handful of loops: a scan of pointers is quicker than any map.
    for (auto& entry : loops_) {
        if (entry->home == current) {
            return *entry;
        }
    }
    throw std::logic_error("token_service was called outside its loops");
}

}  // namespace insula::identity
