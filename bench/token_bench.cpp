// What a token check costs, cold and cached, good and refused, beside OpenSSL alone on the same
// bytes.
//   cmake -S . -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DINSULA_BENCH=ON
//   ninja -C build/bench token_bench && build/bench/bench/token_bench
// For ratios use --benchmark_enable_random_interleaving=true --benchmark_repetitions=9 and the
// medians.
#include "count_allocations.hpp"
#include "token_scene.hpp"

#include "insula/core/random.hpp"

#include <benchmark/benchmark.h>
#include <openssl/rsa.h>

#include <map>
#include <stdexcept>

namespace {

using namespace insula;
using namespace insula::token;

using namespace insula::bench;

void count_allocations(benchmark::State& state, std::size_t before) {
    state.counters["allocations"] = benchmark::Counter(
        static_cast<double>(allocations.load() - before), benchmark::Counter::kAvgIterations);
}

// The floor: OpenSSL with everything prepared, on the very bytes that are signed.

void hmac_alone(benchmark::State& state, const scene& s, std::string_view text) {
    // Copies of pre-fed contexts, written out here so that the floor does not move with our
    // code.
    const auto secret = s.k.export_private();
    const md_ctx_ptr inner(EVP_MD_CTX_new());
    const md_ctx_ptr outer(EVP_MD_CTX_new());
    const md_ctx_ptr work(EVP_MD_CTX_new());
    std::array<std::uint8_t, 64> block{};
    std::copy(secret.view().begin(), secret.view().end(), block.begin());
    for (const auto& [ctx, pad] : {std::pair{inner.get(), 0x36}, std::pair{outer.get(), 0x5c}}) {
        auto padded = block;
        for (auto& octet : padded) {
            octet = static_cast<std::uint8_t>(octet ^ pad);
        }
        EVP_DigestInit_ex2(ctx, sha256_md(), nullptr);
        EVP_DigestUpdate(ctx, padded.data(), padded.size());
    }
    std::array<std::uint8_t, 32> mac{};
    for (auto _ : state) {
        EVP_MD_CTX_copy_ex(work.get(), inner.get());
        EVP_DigestUpdate(work.get(), text.data(), text.size());
        EVP_DigestFinal_ex(work.get(), mac.data(), nullptr);
        EVP_MD_CTX_copy_ex(work.get(), outer.get());
        EVP_DigestUpdate(work.get(), mac.data(), mac.size());
        EVP_DigestFinal_ex(work.get(), mac.data(), nullptr);
        benchmark::DoNotOptimize(mac);
    }
}

/// Of a signature over a digest: RSA's as it is, ECDSA's in the form OpenSSL takes.
void digest_alone(benchmark::State& state, const scene& s, std::string_view text,
                  bytes_view signature) {
    const md_ctx_ptr digest(EVP_MD_CTX_new());
    const pkey_ctx_ptr verify(EVP_PKEY_CTX_new_from_pkey(nullptr, s.k.inner().pair.get(), nullptr));
    EVP_PKEY_verify_init(verify.get());
    if (s.k.alg() == algorithm::rs256) {
        EVP_PKEY_CTX_set_rsa_padding(verify.get(), RSA_PKCS1_PADDING);
        EVP_PKEY_CTX_set_signature_md(verify.get(), sha256_md());
    }
    std::array<std::uint8_t, 32> hash{};
    for (auto _ : state) {
        EVP_DigestInit_ex2(digest.get(), sha256_md(), nullptr);
        EVP_DigestUpdate(digest.get(), text.data(), text.size());
        EVP_DigestFinal_ex(digest.get(), hash.data(), nullptr);
        if (EVP_PKEY_verify(verify.get(), signature.data(), signature.size(), hash.data(),
                            hash.size()) != 1) {
            throw std::logic_error("the floor does not verify");
        }
    }
}

void eddsa_alone(benchmark::State& state, const scene& s, std::string_view text,
                 bytes_view signature) {
    const md_ctx_ptr ready(EVP_MD_CTX_new());
    const md_ctx_ptr work(EVP_MD_CTX_new());
    EVP_DigestVerifyInit(ready.get(), nullptr, nullptr, nullptr, s.k.inner().pair.get());
    for (auto _ : state) {
        EVP_MD_CTX_copy_ex(work.get(), ready.get());
        if (EVP_DigestVerify(work.get(), signature.data(), signature.size(),
                             reinterpret_cast<const unsigned char*>(text.data()),
                             text.size()) != 1) {
            throw std::logic_error("the floor does not verify");
        }
    }
}

void openssl_alone(benchmark::State& state, algorithm alg) {
    const auto& s = scene_of(alg);
    const auto dot = s.good.rfind('.');
    const auto text = std::string_view(s.good).substr(0, dot);
    auto signature = base64url_decode(s.good.substr(dot + 1)).value();
    switch (alg) {
        case algorithm::hs256:
            return hmac_alone(state, s, text);
        case algorithm::eddsa:
            return eddsa_alone(state, s, text, signature);
        case algorithm::rs256:
            return digest_alone(state, s, text, signature);
        case algorithm::es256:
            break;
    }
    const ecdsa_sig_ptr parts(ECDSA_SIG_new());
    ECDSA_SIG_set0(parts.get(), BN_bin2bn(signature.data(), 32, nullptr),
                   BN_bin2bn(signature.data() + 32, 32, nullptr));
    std::uint8_t* der = nullptr;
    const auto size = static_cast<std::size_t>(i2d_ECDSA_SIG(parts.get(), &der));
    digest_alone(state, s, text, {der, size});
    OPENSSL_free(der);
}

using maker = std::string (*)(const scene&);

/// Several of a kind, made once. What a verification costs depends on the signature (Ed25519's by
/// one or two percent) and on where the text lies: one token of each kind would compare luck.
const std::vector<std::string>& tokens_of(algorithm alg, maker make) {
    static std::map<std::pair<algorithm, maker>, std::vector<std::string>> all;
    auto& tokens = all[{alg, make}];
    if (tokens.empty()) {
        auto& s = scene_of(alg);
        const std::size_t count = alg == algorithm::hs256 ? 8 : 64;
        while (tokens.size() < count) {
            s.good = s.sign.sign(sample()).value();
            tokens.push_back(make != nullptr ? make(s) : s.good);
        }
    }
    return tokens;
}

/// Whole checks without a cache; `refuse` says what is expected.
void check_cold(benchmark::State& state, algorithm alg, maker make, bool refuse) {
    auto& s = scene_of(alg);
    const auto& tokens = tokens_of(alg, make);
    for (const auto& token : tokens) {
        if (s.check.verify(token, at_noon).has_error() != refuse) {
            throw std::logic_error(refuse ? "a bad token was accepted"
                                          : "a good token was refused");
        }
    }
    std::size_t next = 0;
    const auto before = allocations.load();
    for (auto _ : state) {
        // Claims are values: asking for one makes the whole verdict needed.
        auto got = s.check.verify(tokens[++next % tokens.size()], at_noon);
        benchmark::DoNotOptimize(got);
    }
    count_allocations(state, before);
    state.counters["bytes"] = static_cast<double>(tokens[0].size());
    state.SetLabel(refuse ? std::string(name(s.check.verify(tokens[0], at_noon).error())) : "good");
}

/// The same token again and again: it stays in the processor's cache.
void cached(benchmark::State& state, algorithm alg) {
    auto& s = scene_of(alg);
    checker loop(us, s.keys, 4096);
    (void)loop.check(s.good, at_noon);
    const auto before = allocations.load();
    for (auto _ : state) {
        const auto got = loop.check(s.good, at_noon);
        if (!got) {
            throw std::logic_error("a good token was refused");
        }
        benchmark::DoNotOptimize((*got)->session_version);
    }
    count_allocations(state, before);
}

/// Refused by the checker: what the look-up in the cache adds to a refusal.
void refused_behind_cache(benchmark::State& state, algorithm alg) {
    auto& s = scene_of(alg);
    checker loop(us, s.keys, 4096);
    const auto token = with_bad_signature(s.good);
    for (auto _ : state) {
        if (loop.check(token, at_noon)) {
            throw std::logic_error("a bad token was accepted");
        }
    }
}

void sign(benchmark::State& state, algorithm alg) {
    auto& s = scene_of(alg);
    const auto what = sample();
    const auto before = allocations.load();
    for (auto _ : state) {
        benchmark::DoNotOptimize(s.sign.sign(what));
    }
    count_allocations(state, before);
}

/// `count` tokens as they would be signed, without the price of signing them all: random claims and
/// a random signature, for what only the cache looks at.
std::vector<std::string> many_tokens(std::size_t count) {
    const auto& s = scene_of(algorithm::es256);
    std::vector<std::string> tokens;
    const auto header = s.good.substr(0, s.good.find('.') + 1);
    std::array<std::uint8_t, 64> signature;
    for (std::size_t i = 0; i < count; ++i) {
        random_bytes(signature);
        tokens.push_back(header + base64url_encode(as_bytes(claims_text())) + "." +
                         base64url_encode(signature));
    }
    return tokens;
}

/// As a receive buffer holds the token of a request: in the processor's cache whatever the number
/// of sessions. The copy is part of what is measured; cache/copy_of_token is it alone.
struct receive_buffer {
    std::array<char, 1024> bytes;
    std::string_view of(const std::string& token) {
        std::memcpy(bytes.data(), token.data(), token.size());
        return {bytes.data(), token.size()};
    }
};

/// Sessions at random, all of them in a cache of twice their number.
void cache_hit(benchmark::State& state) {
    const auto count = static_cast<std::size_t>(state.range(0));
    const auto tokens = many_tokens(count);
    verified_cache cache(2 * count);
    const auto what = sample();
    for (const auto& token : tokens) {
        cache.put(token, 1, what);
    }
    receive_buffer buffer;
    std::uint64_t random = 1;
    std::uint64_t misses = 0;
    const auto before = allocations.load();
    for (auto _ : state) {
        random = random * 6364136223846793005 + 1442695040888963407;
        const auto* const found = cache.find(buffer.of(tokens[(random >> 32) % count]), 1, at_noon);
        misses += found == nullptr ? 1 : 0;
        benchmark::DoNotOptimize(found);
    }
    count_allocations(state, before);
    state.counters["misses"] =
        benchmark::Counter(static_cast<double>(misses), benchmark::Counter::kAvgIterations);
}

/// What cache_hit does besides looking up.
void copy_of_token(benchmark::State& state) {
    const auto count = static_cast<std::size_t>(state.range(0));
    const auto tokens = many_tokens(count);
    receive_buffer buffer;
    std::uint64_t random = 1;
    for (auto _ : state) {
        random = random * 6364136223846793005 + 1442695040888963407;
        benchmark::DoNotOptimize(buffer.of(tokens[(random >> 32) % count]).data());
        benchmark::ClobberMemory();
    }
}

/// A token that is not there, in a full cache: what every first sight and every refusal pays more.
void cache_miss(benchmark::State& state) {
    const auto tokens = many_tokens(8192);
    const auto others = many_tokens(1024);
    verified_cache cache(8192);
    for (const auto& token : tokens) {
        cache.put(token, 1, sample());
    }
    std::size_t at = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(cache.find(others[++at % others.size()], 1, at_noon));
    }
}

/// Sixteen times as many sessions as entries, in turn: every look-up misses, every put() evicts.
void cache_churn(benchmark::State& state) {
    constexpr std::size_t entries = 8192;
    const auto tokens = many_tokens(16 * entries);
    verified_cache cache(entries);
    const auto what = sample();
    std::size_t at = 0;
    std::uint64_t hits = 0;
    const auto before = allocations.load();
    for (auto _ : state) {
        const auto& token = tokens[++at % tokens.size()];
        hits += cache.find(token, 1, at_noon) != nullptr ? 1 : 0;
        cache.put(token, 1, what);
    }
    count_allocations(state, before);
    state.counters["hits"] =
        benchmark::Counter(static_cast<double>(hits), benchmark::Counter::kAvgIterations);
}

void register_all() {
    for (const auto alg :
         {algorithm::hs256, algorithm::es256, algorithm::eddsa, algorithm::rs256}) {
        const auto label = std::string(name(alg)) + "/";
        const auto add = [&](const std::string& what, auto&& run) {
            benchmark::RegisterBenchmark((label + what).c_str(), run);
        };
        const auto add_check = [&](const std::string& what, std::string (*make)(const scene&),
                                   bool refuse) {
            add(what,
                [alg, make, refuse](benchmark::State& st) { check_cold(st, alg, make, refuse); });
        };
        add("openssl_alone", [alg](benchmark::State& st) { openssl_alone(st, alg); });
        add("sign", [alg](benchmark::State& st) { sign(st, alg); });
        add("cached", [alg](benchmark::State& st) { cached(st, alg); });
        add("cached_refusal", [alg](benchmark::State& st) { refused_behind_cache(st, alg); });
        add_check("cold", nullptr, false);
        for (const auto& kind : good_kinds) {
            add_check(std::string("good/") + kind.name, kind.make, false);
        }
        for (const auto& kind : refused_kinds) {
            add_check(std::string("refused/") + kind.name, kind.make, true);
        }
        for (const auto& kind : signed_kinds) {
            add_check(std::string("signed/") + kind.name, kind.make, true);
        }
    }
    benchmark::RegisterBenchmark("cache/hit", cache_hit)->Arg(1)->Arg(1000)->Arg(100000);
    benchmark::RegisterBenchmark("cache/copy_of_token", copy_of_token)
        ->Arg(1)
        ->Arg(1000)
        ->Arg(100000);
    benchmark::RegisterBenchmark("cache/miss", cache_miss);
    benchmark::RegisterBenchmark("cache/churn", cache_churn);
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    register_all();
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
