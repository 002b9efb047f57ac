#include "insula/identity/token_service.hpp"

#include <stdexcept>

namespace insula::identity {

token_service::token_service(std::span<runtime::loop* const> loops, token::authority who,
                             std::shared_ptr<const token::key_set> keys)
    : authority_(who), keys_(keys) {
    for (auto* loop : loops) {
        loops_.push_back(std::make_unique<per_loop>(per_loop{
            loop, token::checker(who, keys, cache_entries_per_loop), token::signer(who, keys), 0}));
    }
}

token_service::per_loop& token_service::here() {
    const auto* current = runtime::loop::current();
    // A handful of loops: a scan of pointers is quicker than any map.
    for (auto& entry : loops_) {
        if (entry->home == current) {
            if (entry->edition != edition_.load(std::memory_order_acquire)) {
                renew(*entry);
            }
            return *entry;
        }
    }
    throw std::logic_error("token_service was called outside its loops");
}

void token_service::use(std::shared_ptr<const token::key_set> keys) {
    const std::lock_guard lock(guard_);
    keys_ = std::move(keys);
    edition_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<const token::key_set> token_service::latest() const {
    const std::lock_guard lock(guard_);
    return keys_;
}

void token_service::renew(per_loop& entry) {
    std::shared_ptr<const token::key_set> keys;
    {
        const std::lock_guard lock(guard_);
        keys = keys_;
        entry.edition = edition_.load(std::memory_order_relaxed);
    }
    entry.checker.use(keys);
    entry.signer.use(std::move(keys));
}

}  // namespace insula::identity
