#pragma once

#include "insula/token/key.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace insula::token {

/// active: signs and verifies; retiring: verifies what it signed before; revoked: neither, at once.
enum class key_state : std::uint8_t { active, retiring, revoked };

std::string_view name(key_state value) noexcept;
std::optional<key_state> parse_key_state(std::string_view text) noexcept;

struct key_entry {
    key value;
    key_state state = key_state::active;
};

/// An immutable snapshot of all keys. A change makes a new one and swaps the shared_ptr; each
/// snapshot has a generation of its own (unique in the process), which is what makes cached
/// verdicts of an older snapshot void.
class key_set {
public:
    /// At most 64 keys, each kid once; errc::internal otherwise. Without an active key it verifies
    /// but does not sign. The *first* active entry signs, so the key store lists the newest first.
    static result<std::shared_ptr<const key_set>> make(std::vector<key_entry> entries);

    /// Constant time in the number of keys. Revoked keys are found too (inspect says so).
    const key_entry* find(std::string_view kid) const noexcept;
    /// The key that signs, or nullptr.
    const key_entry* signing() const noexcept { return signing_; }
    const std::vector<key_entry>& entries() const noexcept { return entries_; }
    std::uint64_t generation() const noexcept { return generation_; }

    ~key_set();
    key_set(const key_set&) = delete;
    key_set& operator=(const key_set&) = delete;

private:
    struct index;
    explicit key_set(std::vector<key_entry> entries);
    std::vector<key_entry> entries_;
    std::unique_ptr<index> by_kid_;
    const key_entry* signing_ = nullptr;
    std::uint64_t generation_;
};

}  // namespace insula::token
