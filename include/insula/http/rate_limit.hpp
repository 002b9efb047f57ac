#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::http {

/// Asked before any expensive work. Called from every loop at once.
class rate_limiter {
public:
    virtual ~rate_limiter() = default;
    /// Takes one token of `key` in `rate_class`. nullopt: go on; else the whole seconds (>= 1)
    /// after which a token will be there. A class nobody configured is a bug (asserted).
    virtual std::optional<unsigned> check(std::string_view rate_class, std::string_view key) = 0;
};

struct rate_class {
    std::string name;
    double per_second;  // refill
    double burst;       // size of the bucket; it starts full
};

/// Token buckets in bounded memory: `keys_max` buckets over all classes; when a shard is full the
/// bucket nearest to full (the one that loses least) of a few looked at makes room. Keys are stored
/// as a 64-bit keyed hash, never as text.
class token_buckets final : public rate_limiter {
public:
    using clock = std::chrono::steady_clock;
    explicit token_buckets(std::vector<rate_class> classes, std::size_t keys_max = 64 * 1024);
    ~token_buckets() override;

    std::optional<unsigned> check(std::string_view rate_class, std::string_view key) override;
    std::optional<unsigned> check_at(std::string_view rate_class, std::string_view key,
                                     clock::time_point now);
    bool has_class(std::string_view name) const noexcept;
    /// How often check() has said no in this class.
    std::uint64_t refused(std::string_view rate_class) const noexcept;
    std::size_t size() const;      // buckets held
    std::size_t capacity() const;  // never exceeded

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace insula::http
