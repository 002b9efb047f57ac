#include "queue/fair_clock.hpp"

#include <algorithm>
#include <vector>

namespace insula::queue::detail {

std::chrono::microseconds fair_clock::lead(const line& who, int weight, time_point now) {
    const std::lock_guard lock(mutex_);
    if (until_.size() >= lines_max_ && !until_.contains(who)) {
        make_room(now);
    }
    time_point& until = until_.try_emplace(who, now).first->second;
    const auto ahead = std::clamp<time_point::duration>(until - now, {}, lead_max);
    until = now + ahead + cost / std::max(weight, 1);
    return std::chrono::duration_cast<std::chrono::microseconds>(ahead);
}

/// Lines that real time has caught up with say nothing any more. If that is not enough, the half
/// that would be forgotten soonest goes: those tenants get a small advantage, once.
void fair_clock::make_room(time_point now) {
    std::erase_if(until_, [&](const auto& l) { return l.second <= now; });
    if (until_.size() < lines_max_) {
        return;
    }
    std::vector<time_point> all;
    all.reserve(until_.size());
    for (const auto& l : until_) {
        all.push_back(l.second);
    }
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    std::nth_element(all.begin(), middle, all.end());
    std::erase_if(until_, [&](const auto& l) { return l.second <= *middle; });
}

std::size_t fair_clock::size() const {
    const std::lock_guard lock(mutex_);
    return until_.size();
}

std::size_t fair_clock::hash::operator()(const line& l) const noexcept {
    const std::size_t tenant = l.tenant ? std::hash<tenant_id>()(*l.tenant) : 0;
    const auto rest = static_cast<std::uint32_t>(static_cast<std::uint16_t>(l.queue)) << 16U |
                      static_cast<std::uint16_t>(l.priority);
    return tenant ^ (rest * std::size_t{0x9E3779B97F4A7C15});
}

}  // namespace insula::queue::detail
