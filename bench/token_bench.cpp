// What a token check costs, cold and cached, good and refused, beside OpenSSL alone on the same
// bytes.
//   cmake -S . -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DINSULA_BENCH=ON
//   ninja -C build/bench token_bench && build/bench/bench/token_bench
// For ratios use --benchmark_enable_random_interleaving=true --benchmark_repetitions=9 and the
// medians.
#include "count_allocations.hpp"
#include "token/algorithm.hpp"
#include "token/claims_text.hpp"

#include "insula/core/base64.hpp"
#include "insula/token/cache.hpp"

#include <benchmark/benchmark.h>
#include <openssl/rsa.h>

#include <stdexcept>

namespace {

using namespace insula;
using namespace insula::token;

const authority us{"https://insula.example", "insula"};
const timestamp at_noon{std::chrono::seconds(1795435200)};

claims sample() {
    claims what;
    what.subject = user_id::make();
    what.session = session_id::make();
    what.session_version = 3;
    what.tenant = tenant_id::make();
    what.role = role::member;
    what.id = make_uuid_v7();
    what.issued_at = std::chrono::floor<std::chrono::seconds>(at_noon);
    what.expires_at = what.issued_at + std::chrono::minutes(15);
    return what;
}

/// One key of an algorithm and all that is made with it.
struct scene {
    explicit scene(algorithm alg)
        : k(key::generate(alg)),
          keys(key_set::make({{k, key_state::active}}).value()),
          check(us, keys),
          loop(us, keys, 4096),
          sign(us, keys),
          good(sign.sign(sample()).value()) {}

    key k;
    std::shared_ptr<const key_set> keys;
    verifier check;
    checker loop;
    signer sign;
    std::string good;

    std::string forge(std::string_view header, std::string_view payload) const {
        std::string text =
            base64url_encode(as_bytes(header)) + "." + base64url_encode(as_bytes(payload));
        const auto& row = row_of(k.alg());
        std::vector<std::uint8_t> raw(k.inner().signature_bytes);
        row.make_sign(k.inner())->sign(text, raw);
        return text + "." + base64url_encode(raw);
    }
    std::string header(std::string_view alg, std::string_view more = {}) const {
        return R"({"alg":")" + std::string(alg) + R"(","kid":")" + k.kid() + R"(","typ":"at+jwt")" +
               std::string(more) + "}";
    }
};

void count_allocations(benchmark::State& state, std::size_t before) {
    state.counters["allocations"] =
        benchmark::Counter(static_cast<double>(bench::allocations.load() - before),
                           benchmark::Counter::kAvgIterations);
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
    const scene s(alg);
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

void cold(benchmark::State& state, algorithm alg) {
    scene s(alg);
    const auto before = bench::allocations.load();
    for (auto _ : state) {
        if (!s.check.verify(s.good, at_noon)) {
            throw std::logic_error("a good token was refused");
        }
    }
    count_allocations(state, before);
    state.counters["bytes"] = static_cast<double>(s.good.size());
}

/// The same token again and again: it stays in the processor's cache.
void cached(benchmark::State& state, algorithm alg) {
    scene s(alg);
    (void)s.loop.check(s.good, at_noon);
    const auto before = bench::allocations.load();
    for (auto _ : state) {
        const auto got = s.loop.check(s.good, at_noon);
        if (!got) {
            throw std::logic_error("a good token was refused");
        }
        benchmark::DoNotOptimize((*got)->session_version);
    }
    count_allocations(state, before);
}

/// 2,000 sessions in turn: 2.4 MB of slots, which is where the processor's cache stops helping.
void cached_many(benchmark::State& state, algorithm alg) {
    scene s(alg);
    std::vector<std::string> tokens;
    for (int i = 0; i < 2000; ++i) {
        tokens.push_back(s.sign.sign(sample()).value());
        (void)s.loop.check(tokens.back(), at_noon);
    }
    const auto verified_before = s.loop.counts().verified;
    std::size_t at = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(s.loop.check(tokens[at], at_noon));
        at = (at + 1) % tokens.size();
    }
    state.counters["misses"] =
        benchmark::Counter(static_cast<double>(s.loop.counts().verified - verified_before),
                           benchmark::Counter::kAvgIterations);
}

void refused(benchmark::State& state, algorithm alg, std::string (*make)(const scene&)) {
    scene s(alg);
    const auto token = make(s);
    const auto before = bench::allocations.load();
    std::optional<refusal> why;
    for (auto _ : state) {
        // Without the cache, like `cold`: its look-up adds the same to both.
        const auto got = s.check.verify(token, at_noon);
        if (got) {
            throw std::logic_error("a bad token was accepted");
        }
        why = got.error();
    }
    count_allocations(state, before);
    state.SetLabel(std::string(name(*why)));
}

void sign(benchmark::State& state, algorithm alg) {
    scene s(alg);
    const auto what = sample();
    const auto before = bench::allocations.load();
    for (auto _ : state) {
        benchmark::DoNotOptimize(s.sign.sign(what));
    }
    count_allocations(state, before);
}

struct refused_kind {
    const char* name;
    std::string (*make)(const scene&);
};

std::string payload_with(std::string_view more) {
    auto text = write_claims(us, sample());
    return text.insert(1, more);
}

/// The longest text whose signature is looked at: the most work a stranger can ask for.
std::string longest_junk(const scene& s, const std::string& header) {
    verifier check(us, s.keys);
    auto tail = s.good.substr(s.good.rfind('.'));
    tail[5] = tail[5] == 'A' ? 'B' : 'A';
    for (std::size_t size = token_bytes_max; size != 0; --size) {
        auto token = header + "." + std::string(size, 'A') + tail;
        if (check.verify(token, at_noon).error() == refusal::bad_signature) {
            return token;
        }
    }
    throw std::logic_error("no junk reaches the signature");
}

// Every stranger can send these, but for the two named our_key: those are signed, so only we could
// make them.
const refused_kind kinds[] = {
    {"bad_signature",
     [](const scene& s) {
         auto token = s.good;
         auto& c = token[token.rfind('.') + 5];
         c = c == 'A' ? 'B' : 'A';
         return token;
     }},
    // The longest text whose signature is looked at.
    {"bad_signature_longest",
     [](const scene& s) { return longest_junk(s, s.good.substr(0, s.good.find('.'))); }},
    {"bad_signature_longest_other_header",
     [](const scene& s) {
         return longest_junk(s, base64url_encode(as_bytes(" " + s.header(name(s.k.alg())))));
     }},
    {"bad_signature_other_header",
     [](const scene& s) {
         auto token = s.forge(" " + s.header(name(s.k.alg())), payload_with(""));
         auto& c = token[token.rfind('.') + 5];
         c = c == 'A' ? 'B' : 'A';
         return token;
     }},
    {"expired",
     [](const scene& s) {
         auto what = sample();
         what.issued_at -= std::chrono::hours(1);
         what.expires_at -= std::chrono::hours(1);
         return s.forge(s.header(name(s.k.alg())), write_claims(us, what));
     }},
    {"our_key_expired_other_header",
     [](const scene& s) {
         auto what = sample();
         what.issued_at -= std::chrono::hours(1);
         what.expires_at -= std::chrono::hours(1);
         return s.forge(" " + s.header(name(s.k.alg())), write_claims(us, what));
     }},
    {"none", [](const scene& s) { return s.forge(s.header("none"), payload_with("")); }},
    {"unknown_key",
     [](const scene& s) {
         return s.forge(R"({"alg":"ES256","kid":"nobody","typ":"at+jwt"})", payload_with(""));
     }},
    {"crit",
     [](const scene& s) {
         return s.forge(s.header(name(s.k.alg()), R"(,"crit":["exp"])"), payload_with(""));
     }},
    {"many_header_members",
     [](const scene& s) {
         return s.forge(
             s.header(name(s.k.alg()), R"(,"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1)"),
             payload_with(""));
     }},
    {"our_key_many_unknown_claims",
     [](const scene& s) {
         return s.forge(s.header(name(s.k.alg())),
                        payload_with(R"("a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"a":1,)"));
     }},
    {"4_kib", [](const scene&) { return std::string(4096, 'A'); }},
    {"4_kib_of_dots", [](const scene&) { return std::string(4096, '.'); }},
    {"1_mib", [](const scene&) { return std::string(1 << 20, 'A'); }},
    {"five_segments", [](const scene& s) { return s.good + ".AAAA.AAAA"; }},
    {"not_base64url",
     [](const scene& s) {
         auto token = s.good;
         token.back() = '=';
         return token;
     }},
};

void register_all() {
    for (const auto alg :
         {algorithm::hs256, algorithm::es256, algorithm::eddsa, algorithm::rs256}) {
        const auto label = std::string(name(alg)) + "/";
        const auto add = [&](const std::string& what, auto&& run) {
            benchmark::RegisterBenchmark((label + what).c_str(), run);
        };
        add("openssl_alone", [alg](benchmark::State& st) { openssl_alone(st, alg); });
        add("cold", [alg](benchmark::State& st) { cold(st, alg); });
        add("cached", [alg](benchmark::State& st) { cached(st, alg); });
        add("cached_2000_tokens", [alg](benchmark::State& st) { cached_many(st, alg); });
        add("sign", [alg](benchmark::State& st) { sign(st, alg); });
        for (const auto& kind : kinds) {
            const auto make = kind.make;
            add(std::string("refused/") + kind.name,
                [alg, make](benchmark::State& st) { refused(st, alg, make); });
        }
    }
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
