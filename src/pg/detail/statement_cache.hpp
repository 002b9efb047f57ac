#pragma once
#include "insula/core/uuid.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace insula::pg::detail {

/// A statement by the address of its constant text, the schema `{t}` stands for (nil when it has
/// none) and a hash of its parameters' types.
struct statement_key {
    const char* text = nullptr;
    std::size_t size = 0;
    uuid schema{};
    std::uint64_t types = 0;

    bool operator==(const statement_key&) const noexcept = default;
};

struct statement_key_hash {
    std::size_t operator()(const statement_key& k) const noexcept {
        const std::size_t h = std::hash<uuid>()(k.schema) ^ std::hash<const void*>()(k.text);
        return h ^ (static_cast<std::size_t>(k.types) * 0x9e3779b97f4a7c15ULL) ^ (k.size << 1);
    }
};

/// Which statements one backend has prepared, least recently used last, bounded in bytes. Without
/// I/O: the connection prepares and deallocates as this says, and tells how each Parse ended. A
/// prepared statement outlives the rollback of the transaction it was prepared in, so a Parse that
/// was acknowledged counts even when its unit fails later. Numbers, and so names on the server, are
/// never used twice.
class statement_cache {
public:
    explicit statement_cache(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}

    struct use_of {
        std::uint64_t number;
        bool prepare;  ///< a Parse must go in front, in the same unit
    };
    /// The unit being built executes this statement. Without `trust_pending` a Parse that another
    /// unit has sent and that is not yet acknowledged does not count: it may be aborted with that
    /// unit.
    use_of use(const statement_key& key, std::size_t text_bytes, bool trust_pending);

    void acknowledged(std::uint64_t number);
    /// The Parse was refused or aborted: the server does not know the name.
    void refused(std::uint64_t number);
    /// The server knows the name, or not, but its plan is useless: never use it again.
    void forget(std::uint64_t number);
    void forget(const statement_key& key);

    /// Numbers the server still holds and nobody will use: to be deallocated.
    const std::vector<std::uint64_t>& garbage() const noexcept { return garbage_; }
    std::vector<std::uint64_t> take_garbage() noexcept { return std::exchange(garbage_, {}); }
    void return_garbage(std::uint64_t number) { garbage_.push_back(number); }

    std::size_t size() const noexcept { return by_key_.size(); }
    std::size_t bytes() const noexcept { return bytes_; }

    /// What a prepared statement costs the backend, by estimate: its source, its parse tree and a
    /// generic plan. PostgreSQL 15 holds half as much again: 20 KB for a read by key of 100
    /// characters, 31 KB for an update of 190.
    static std::size_t estimate(std::size_t text_bytes) noexcept { return 8192 + 64 * text_bytes; }

private:
    struct entry {
        statement_key key;
        std::uint64_t number;
        std::size_t bytes;
        bool pending;
    };
    using order = std::list<entry>;

    void erase(order::iterator at);
    void evict();

    std::size_t bytes_max_;
    std::size_t bytes_ = 0;
    std::uint64_t last_number_ = 0;
    order order_;  // most recently used first
    std::unordered_map<statement_key, order::iterator, statement_key_hash> by_key_;
    std::unordered_map<std::uint64_t, order::iterator> by_number_;
    // Parses whose entry was replaced or dropped before they were acknowledged.
    std::unordered_set<std::uint64_t> orphans_;
    std::vector<std::uint64_t> garbage_;
};

}  // namespace insula::pg::detail
