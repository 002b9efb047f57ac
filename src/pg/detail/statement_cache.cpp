#include "pg/detail/statement_cache.hpp"

namespace insula::pg::detail {

statement_cache::use_of statement_cache::use(const statement_key& key, std::size_t text_bytes,
                                             bool trust_pending) {
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
        const auto at = found->second;
        if (!at->pending || trust_pending) {
            order_.splice(order_.begin(), order_, at);
            return {at->number, false};
        }
        erase(at);
    }
    const std::size_t bytes = estimate(text_bytes);
    order_.push_front({key, ++last_number_, bytes, true});
    by_key_.emplace(key, order_.begin());
    by_number_.emplace(last_number_, order_.begin());
    bytes_ += bytes;
    evict();
    return {last_number_, true};
}

void statement_cache::acknowledged(std::uint64_t number) {
    if (const auto found = by_number_.find(number); found != by_number_.end()) {
        found->second->pending = false;
    } else if (orphans_.erase(number) != 0) {
        garbage_.push_back(number);
    }
}

void statement_cache::refused(std::uint64_t number) {
    orphans_.erase(number);
    if (const auto found = by_number_.find(number); found != by_number_.end()) {
        const auto at = found->second;
        at->pending = false;  // nothing to deallocate either
        bytes_ -= at->bytes;
        by_key_.erase(at->key);
        by_number_.erase(found);
        order_.erase(at);
    }
}

void statement_cache::forget(std::uint64_t number) {
    if (const auto found = by_number_.find(number); found != by_number_.end()) {
        erase(found->second);
    }
}

void statement_cache::forget(const statement_key& key) {
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
        erase(found->second);
    }
}

void statement_cache::erase(order::iterator at) {
    if (at->pending) {
        orphans_.insert(at->number);
    } else {
        garbage_.push_back(at->number);
    }
    bytes_ -= at->bytes;
    by_key_.erase(at->key);
    by_number_.erase(at->number);
    order_.erase(at);
}

// From the least recently used up. A pending one stays, because whether it must be deallocated is
// not known yet, and so does the newest: one statement larger than the bound must still run.
void statement_cache::evict() {
    auto at = order_.end();
    while (bytes_ > bytes_max_ && at != order_.begin()) {
        --at;
        if (at == order_.begin()) {
            break;
        }
        if (!at->pending) {
            const auto victim = at++;
            erase(victim);
        }
    }
}

}  // namespace insula::pg::detail
