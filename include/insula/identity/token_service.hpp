#pragma once
#include "insula/core/time.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/token/cache.hpp"
#include "insula/token/token.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

namespace insula::identity {

/// Signs and checks access tokens on every loop: each has its own contexts and cache, so nothing is
/// shared and nothing locks but the one number that says whether the keys have changed. check() and
/// sign() act for the loop they are called on.
class token_service {
public:
    static constexpr std::size_t cache_entries_per_loop = 16384;
    static constexpr std::chrono::seconds access_lifetime{15 * 60};

    token_service(std::span<runtime::loop* const> loops, token::authority who,
                  std::shared_ptr<const token::key_set> keys);

    /// Other keys from now on, on every loop: whatever is checked after this returns is checked
    /// under them, and verdicts kept from before are void. From any thread.
    void use(std::shared_ptr<const token::key_set> keys);
    /// What use() was given last. From any thread.
    std::shared_ptr<const token::key_set> latest() const;

    /// See token::checker::check: copy the claims before the next await.
    boost::system::result<const token::claims*, token::refusal> check(std::string_view token,
                                                                      timestamp now) {
        return here().checker.check(token, now);
    }
    result<std::string> sign(const token::claims& what) { return here().signer.sign(what); }

    /// The snapshot this loop uses; for JWKS.
    const token::key_set& keys() { return here().checker.keys(); }
    const token::authority& authority() const noexcept { return authority_; }

private:
    struct per_loop {
        runtime::loop* home;
        token::checker checker;
        token::signer signer;
        std::uint64_t edition;
    };
    per_loop& here();
    void renew(per_loop& entry);

    token::authority authority_;
    mutable std::mutex guard_;
    std::shared_ptr<const token::key_set> keys_;  // under guard_
    std::atomic<std::uint64_t> edition_{0};
    std::vector<std::unique_ptr<per_loop>> loops_;
};

}  // namespace insula::identity
