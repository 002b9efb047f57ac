#include "insula/token/cache.hpp"

#include "token/siphash.hpp"

#include "insula/core/random.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

namespace insula::token {

namespace {

constexpr std::size_t ways = 8;  // slots that share a bucket: their tags fill one cache line
constexpr std::size_t entries_max = std::size_t{1} << 20;

// The hash covers the end of the token only: that is the signature, which is as random as a hash
// and unknown to whoever does not hold the token. The comparison covers everything.
constexpr std::size_t hashed_bytes = 32;

struct alignas(64) bucket {
    std::array<std::uint64_t, ways> tags{};  // 0: empty
};

/// What a hit reads comes first.
struct alignas(64) slot {
    std::uint64_t generation;
    std::uint64_t used;  // the cache's tick at the last hit
    std::size_t size;
    claims what;
    std::array<char, verified_cache::token_slot_bytes> token;
};

static_assert(std::is_trivially_copyable_v<slot> && std::is_trivially_destructible_v<slot>);

struct free_memory {
    void operator()(slot* memory) const noexcept { std::free(memory); }
};

std::uint64_t word_at(const char* from) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, from, sizeof word);
    return word;
}

/// Equality of `size` >= 8 bytes in a time that does not tell where they differ: the one on the
/// left came from outside, the one on the right is somebody's credential.
bool same_bytes(const char* a, const char* b, std::size_t size) noexcept {
    std::uint64_t differ = word_at(a + size - 8) ^ word_at(b + size - 8);
    for (std::size_t i = 0; i + 8 <= size; i += 8) {
        differ |= word_at(a + i) ^ word_at(b + i);
    }
    return differ == 0;
}

/// The random half of the session's UUID: enough to find its slots without reading them all.
std::uint64_t mark_of(const session_id& session) noexcept {
    std::uint64_t mark = 0;
    std::memcpy(&mark, session.value().bytes.data() + 8, sizeof mark);
    return mark;
}

}  // namespace

struct verified_cache::state {
    explicit state(std::size_t entries)
        : buckets(entries / ways),
          marks(entries),
          slots(static_cast<slot*>(std::aligned_alloc(alignof(slot), entries * sizeof(slot)))),
          hash(random_u64(), random_u64()) {
        if (!slots) {
            throw std::bad_alloc();
        }
    }

    std::uint64_t tag_of(std::string_view token) const noexcept {
        if (collide) {
            return 1;
        }
        const auto tag = hash(token.data() + token.size() - hashed_bytes, hashed_bytes);
        return tag != 0 ? tag : 1;
    }
    /// A token may lie in either of two buckets: so a half-full cache has no bucket that overflows.
    std::array<std::size_t, 2> buckets_of(std::uint64_t tag) const noexcept {
        const auto mask = buckets.size() - 1;
        return {(tag >> 20) & mask, (tag >> 42) & mask};
    }

    std::vector<bucket> buckets;
    std::vector<std::uint64_t> marks;  // per slot
    // Never constructed (slot is an implicit-lifetime type), so pages nobody used yet cost nothing.
    // A slot is read only behind its tag.
    std::unique_ptr<slot[], free_memory> slots;
    siphash<1, 3> hash;
    std::uint64_t tick = 0;
    std::size_t count = 0;
    bool collide = false;

    void forget(std::size_t at, std::size_t way) noexcept {
        buckets[at].tags[way] = 0;
        --count;
    }

    struct place {
        std::size_t bucket = 0;
        std::size_t way = ways;
    };

    /// Where this very token lies; way == ways when it does not.
    place find(std::uint64_t tag, std::string_view token) const noexcept {
        for (const auto at : buckets_of(tag)) {
            for (std::size_t way = 0; way < ways; ++way) {
                const auto& s = slots[at * ways + way];
                if (buckets[at].tags[way] == tag && s.size == token.size() &&
                    same_bytes(token.data(), s.token.data(), s.size)) {
                    return {at, way};
                }
            }
        }
        return {};
    }

    auto empty_ways(std::size_t at) const noexcept {
        const auto& tags = buckets[at].tags;
        return std::count(tags.begin(), tags.end(), std::uint64_t{0});
    }

    /// Where to put a new one: an empty slot, or one whose verdict is void, or the one not used for
    /// longest. Of two buckets with room the emptier: filling the first one first loses tokens of a
    /// half-empty cache.
    place victim(std::uint64_t tag, std::uint64_t generation) const noexcept {
        auto candidates = buckets_of(tag);
        if (empty_ways(candidates[1]) > empty_ways(candidates[0])) {
            std::swap(candidates[0], candidates[1]);
        }
        place best;
        std::uint64_t best_rank = ~std::uint64_t{0};
        for (const auto at : candidates) {
            for (std::size_t way = 0; way < ways; ++way) {
                const auto rank = rank_of(at, way, generation);
                if (rank < best_rank) {
                    best_rank = rank;
                    best = {at, way};
                }
            }
        }
        return best;
    }

    std::uint64_t rank_of(std::size_t at, std::size_t way,
                          std::uint64_t generation) const noexcept {
        if (buckets[at].tags[way] == 0) {
            return 0;
        }
        const auto& s = slots[at * ways + way];
        return s.generation != generation ? 1 : s.used + 2;
    }
};

verified_cache::verified_cache(std::size_t entries)
    : state_(std::make_unique<state>(std::bit_ceil(std::clamp(entries, ways, entries_max)))) {}

verified_cache::~verified_cache() = default;
verified_cache::verified_cache(verified_cache&&) noexcept = default;
verified_cache& verified_cache::operator=(verified_cache&&) noexcept = default;

const claims* verified_cache::find(std::string_view token, std::uint64_t key_generation,
                                   timestamp now) noexcept {
    if (token.size() < hashed_bytes) {
        return nullptr;
    }
    auto& s = *state_;
    const auto tag = s.tag_of(token);
    const auto at = s.find(tag, token);
    if (at.way == ways) {
        return nullptr;
    }
    auto& found = s.slots[at.bucket * ways + at.way];
    if (found.generation != key_generation || now >= found.what.expires_at) {
        s.forget(at.bucket, at.way);
        return nullptr;
    }
    found.used = ++s.tick;
    return &found.what;
}

void verified_cache::put(std::string_view token, std::uint64_t key_generation,
                         const claims& what) noexcept {
    if (token.size() < hashed_bytes || token.size() > token_slot_bytes) {
        return;
    }
    auto& s = *state_;
    const auto tag = s.tag_of(token);
    auto at = s.find(tag, token);
    if (at.way == ways) {
        at = s.victim(tag, key_generation);
    }
    auto& tags = s.buckets[at.bucket].tags;
    s.count += tags[at.way] == 0 ? 1 : 0;
    tags[at.way] = tag;
    const auto slot_at = at.bucket * ways + at.way;
    s.marks[slot_at] = mark_of(what.session);
    auto& into = s.slots[slot_at];
    into.generation = key_generation;
    into.used = ++s.tick;
    into.size = token.size();
    into.what = what;
    std::memcpy(into.token.data(), token.data(), token.size());
}

void verified_cache::end_session(session_id session) noexcept {
    auto& s = *state_;
    const auto mark = mark_of(session);
    for (std::size_t i = 0; i < s.marks.size(); ++i) {
        if (s.marks[i] == mark && s.buckets[i / ways].tags[i % ways] != 0 &&
            s.slots[i].what.session == session) {
            s.forget(i / ways, i % ways);
        }
    }
}

void verified_cache::clear() noexcept {
    for (auto& b : state_->buckets) {
        b.tags.fill(0);
    }
    state_->count = 0;
}

std::size_t verified_cache::size() const noexcept {
    return state_->count;
}

std::size_t verified_cache::capacity() const noexcept {
    return state_->marks.size();
}

void verified_cache::force_hash_collisions() noexcept {
    clear();
    state_->collide = true;
}

checker::checker(authority who, std::shared_ptr<const key_set> keys, std::size_t cache_entries)
    : verifier_(std::move(who), std::move(keys)), cache_(cache_entries) {}

boost::system::result<const claims*, refusal> checker::check(std::string_view token,
                                                             timestamp now) {
    const auto generation = verifier_.keys().generation();
    if (const auto* const known = cache_.find(token, generation, now)) {
        ++counts_.hits;
        return known;
    }
    const auto fresh = verifier_.verify(token, now);
    if (!fresh) {
        ++counts_.refused[static_cast<std::size_t>(fresh.error())];
        return fresh.error();
    }
    ++counts_.verified;
    last_ = *fresh;
    cache_.put(token, generation, last_);
    return &last_;
}

void checker::use(std::shared_ptr<const key_set> keys) {
    verifier_.use(std::move(keys));
    cache_.clear();
}

}  // namespace insula::token
