#include "insula/http/rate_limit.hpp"

#include "insula/core/random.hpp"

#include <boost/assert.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <mutex>

namespace insula::http {
namespace {

/// A keyed 64-bit hash: without the key nobody can aim two clients at one bucket. (Mum-style
/// multiply and fold, 8 bytes a round; not a MAC, and does not need to be one.)
std::uint64_t keyed_hash(std::uint64_t key, std::uint64_t tag, std::string_view text) noexcept {
    const auto mix = [](std::uint64_t a, std::uint64_t b) {
        const auto product = static_cast<unsigned __int128>(a) * b;
        return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    };
    std::uint64_t h = mix(key ^ tag, 0x9e3779b97f4a7c15ULL) ^ text.size();
    while (!text.empty()) {
        std::uint64_t part = 0;
        const auto n = std::min<std::size_t>(8, text.size());
        for (std::size_t i = 0; i < n; ++i)
            part |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
        h = mix(h ^ part ^ key, 0xbf58476d1ce4e5b9ULL ^ std::rotl(key, 31));
        text.remove_prefix(n);
    }
    return mix(h, key | 1);
}

}  // namespace

struct token_buckets::impl {
    struct bucket {
        std::uint64_t key = 0;  // 0: free
        double tokens = 0;
        clock::time_point at;
        std::uint32_t rate = 0;  // index of the class
    };
    static constexpr std::size_t ways =
        8;  // buckets a key may be in; the fullest of them makes room
    using set = std::array<bucket, ways>;
    static constexpr std::size_t locks = 64;

    std::vector<rate_class> classes;
    std::vector<std::atomic<std::uint64_t>> refused;  // by class
    std::vector<set> sets;
    std::atomic<std::size_t> held{0};
    std::array<std::mutex, locks> mutexes;
    std::uint64_t secret = random_u64();

    double tokens_at(const bucket& b, clock::time_point now) const {
        const auto& c = classes[b.rate];
        const double elapsed = std::max(0.0, std::chrono::duration<double>(now - b.at).count());
        return std::min(c.burst, b.tokens + elapsed * c.per_second);
    }
    /// What is lost by forgetting a bucket: nothing when it is full again.
    double fullness(const bucket& b, clock::time_point now) const {
        return tokens_at(b, now) / classes[b.rate].burst;
    }

    bucket& find(set& where, std::uint64_t key, std::uint32_t rate, clock::time_point now) {
        bucket* victim = nullptr;
        double fullest = -1;
        for (auto& b : where) {
            if (b.key == key)
                return b;
            const double f = b.key == 0 ? 2 : fullness(b, now);
            if (f > fullest)
                fullest = f, victim = &b;
        }
        if (victim->key == 0)
            held.fetch_add(1, std::memory_order_relaxed);
        *victim = {key, classes[rate].burst, now, rate};
        return *victim;
    }
};

token_buckets::token_buckets(std::vector<rate_class> classes, std::size_t keys_max)
    : impl_(std::make_unique<impl>()) {
    for (const auto& c : classes)
        BOOST_ASSERT_MSG(c.per_second > 0 && c.burst >= 1, "a rate class must let something pass");
    impl_->classes = std::move(classes);
    impl_->refused = std::vector<std::atomic<std::uint64_t>>(impl_->classes.size());
    impl_->sets.resize(std::max<std::size_t>(1, keys_max / impl::ways));
}

token_buckets::~token_buckets() = default;

bool token_buckets::has_class(std::string_view name) const noexcept {
    return std::any_of(impl_->classes.begin(), impl_->classes.end(),
                       [&](const rate_class& c) { return c.name == name; });
}

std::uint64_t token_buckets::refused(std::string_view rate_class) const noexcept {
    for (std::size_t i = 0; i < impl_->classes.size(); ++i) {
        if (impl_->classes[i].name == rate_class)
            return impl_->refused[i].load(std::memory_order_relaxed);
    }
    return 0;
}

std::size_t token_buckets::capacity() const {
    return impl_->sets.size() * impl::ways;
}

std::size_t token_buckets::size() const {
    return impl_->held.load(std::memory_order_relaxed);
}

std::optional<unsigned> token_buckets::check(std::string_view rate_class, std::string_view key) {
    return check_at(rate_class, key, clock::now());
}

std::optional<unsigned> token_buckets::check_at(std::string_view rate_class, std::string_view key,
                                                clock::time_point now) {
    const auto found = std::find_if(impl_->classes.begin(), impl_->classes.end(),
                                    [&](const auto& c) { return c.name == rate_class; });
    BOOST_ASSERT_MSG(found != impl_->classes.end(), "a rate class nobody configured");
    if (found == impl_->classes.end())
        return std::nullopt;
    const auto rate = static_cast<std::uint32_t>(found - impl_->classes.begin());
    const auto hash = std::max<std::uint64_t>(1, keyed_hash(impl_->secret, rate + 1, key));
    const auto index = static_cast<std::size_t>((hash >> 16) % impl_->sets.size());

    std::lock_guard lock(impl_->mutexes[index % impl::locks]);
    auto& b = impl_->find(impl_->sets[index], hash, rate, now);
    b.tokens = impl_->tokens_at(b, now);
    b.at = std::max(b.at, now);
    constexpr double rounding = 1e-6;  // sums of fractions fall short of one by less
    if (b.tokens >= 1 - rounding) {
        b.tokens = std::max(0.0, b.tokens - 1);
        return std::nullopt;
    }
    impl_->refused[rate].fetch_add(1, std::memory_order_relaxed);
    const double wait = std::ceil((1 - b.tokens) / found->per_second - rounding);
    return static_cast<unsigned>(std::clamp(wait, 1.0, 86'400.0));
}

}  // namespace insula::http
