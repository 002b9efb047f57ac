#include "insula/token/key_set.hpp"

#include <atomic>
#include <unordered_map>

namespace insula::token {

namespace {

constexpr std::size_t keys_max = 64;

constexpr std::string_view state_names[] = {"active", "retiring", "revoked"};

std::uint64_t next_generation() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

struct key_set::index {
    std::unordered_map<std::string_view, const key_entry*> entries;
};

std::string_view name(key_state value) noexcept {
    return state_names[static_cast<std::size_t>(value)];
}

std::optional<key_state> parse_key_state(std::string_view text) noexcept {
    for (std::size_t i = 0; i < std::size(state_names); ++i) {
        if (state_names[i] == text) {
            return static_cast<key_state>(i);
        }
    }
    return std::nullopt;
}

key_set::key_set(std::vector<key_entry> entries)
    : entries_(std::move(entries)),
      by_kid_(std::make_unique<index>()),
      generation_(next_generation()) {
    for (const auto& entry : entries_) {
        by_kid_->entries.emplace(entry.value.kid(), &entry);
        if (entry.state == key_state::active && signing_ == nullptr) {
            signing_ = &entry;
        }
    }
}

key_set::~key_set() = default;

result<std::shared_ptr<const key_set>> key_set::make(std::vector<key_entry> entries) {
    if (entries.size() > keys_max) {
        return error(errc::internal, {}, "more than 64 signing keys; delete old revoked ones");
    }
    const auto count = entries.size();
    std::shared_ptr<const key_set> made(new key_set(std::move(entries)));
    if (made->by_kid_->entries.size() != count) {
        return error(errc::internal, {}, "two signing keys have the same kid");
    }
    return made;
}

const key_entry* key_set::find(std::string_view kid) const noexcept {
    const auto at = by_kid_->entries.find(kid);
    return at == by_kid_->entries.end() ? nullptr : at->second;
}

}  // namespace insula::token
