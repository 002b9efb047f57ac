#pragma once
// What token_bench measures with: one key of each algorithm, good tokens, and every way to be
// refused.
#include "token/algorithm.hpp"
#include "token/claims_text.hpp"

#include "insula/core/base64.hpp"
#include "insula/token/cache.hpp"

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace insula::bench {

inline const token::authority us{"https://insula.example", "insula"};
inline const timestamp at_noon{std::chrono::seconds(1795435200)};

inline token::claims sample() {
    token::claims what;
    what.subject = user_id::make();
    what.session = session_id::make();
    what.session_version = 3;
    what.tenant = tenant_id::make();
    what.role = token::role::member;
    what.id = make_uuid_v7();
    what.issued_at = std::chrono::floor<std::chrono::seconds>(at_noon);
    what.expires_at = what.issued_at + std::chrono::minutes(15);
    return what;
}

inline token::claims moved(std::chrono::hours by) {
    auto what = sample();
    what.issued_at += by;
    what.expires_at += by;
    return what;
}

/// One key of an algorithm and all that is made with it.
struct scene {
    explicit scene(token::algorithm alg)
        : k(token::key::generate(alg)),
          old(token::key::generate(alg)),
          keys(token::key_set::make(
                   {{k, token::key_state::active}, {old, token::key_state::revoked}})
                   .value()),
          check(us, keys),
          sign(us, keys),
          good(sign.sign(sample()).value()) {}

    token::key k;
    token::key old;  // revoked
    std::shared_ptr<const token::key_set> keys;
    token::verifier check;
    token::signer sign;
    std::string good;

    static std::string forge(const token::key& with, std::string_view header,
                             std::string_view payload) {
        std::string text =
            base64url_encode(as_bytes(header)) + "." + base64url_encode(as_bytes(payload));
        std::vector<std::uint8_t> raw(with.inner().signature_bytes);
        token::row_of(with.alg()).make_sign(with.inner())->sign(text, raw);
        return text + "." + base64url_encode(raw);
    }
    std::string forge(std::string_view header, std::string_view payload) const {
        return forge(k, header, payload);
    }
    std::string header(std::string_view alg, std::string_view more = {}) const {
        return R"({"alg":")" + std::string(alg) + R"(","kid":")" + k.kid() + R"(","typ":"at+jwt")" +
               std::string(more) + "}";
    }
    /// As our signer spells it.
    std::string header() const { return header(name(k.alg())); }
    /// What our signer never writes, but a verifier takes: the slow way through the header.
    std::string other_header() const { return " " + header(); }
};

/// One for each algorithm: RSA keys take their time, and what is compared shall share its memory.
inline scene& scene_of(token::algorithm alg) {
    static std::array<std::unique_ptr<scene>, 4> all;
    auto& one = all[static_cast<std::size_t>(alg)];
    if (!one) {
        one = std::make_unique<scene>(alg);
    }
    return *one;
}

/// Another signature of the same length and in the same alphabet.
inline std::string with_bad_signature(std::string token) {
    auto& c = token[token.rfind('.') + 5];
    c = c == 'A' ? 'B' : 'A';
    return token;
}

/// The longest text whose signature is looked at: the most work a stranger can ask for.
inline std::string longest_junk(const scene& s, std::string_view header) {
    token::verifier check(us, s.keys);
    const auto tail = with_bad_signature(s.good).substr(s.good.rfind('.'));
    for (std::size_t size = token::token_bytes_max; size != 0; --size) {
        auto token = base64url_encode(as_bytes(header)) + "." + std::string(size, 'A') + tail;
        if (check.verify(token, at_noon).error() == token::refusal::bad_signature) {
            return token;
        }
    }
    throw std::logic_error("no junk reaches the signature");
}

inline std::string claims_text(std::string_view more_first = {}) {
    return token::write_claims(us, sample()).insert(1, more_first);
}

/// Claims with one part written otherwise.
inline std::string claims_with(std::string_view part, std::string_view instead) {
    auto text = claims_text();
    const auto at = text.find(part);
    if (at == std::string::npos) {
        throw std::logic_error("the claims have no such part");
    }
    return text.replace(at, part.size(), instead);
}

inline constexpr std::string_view eight_unknown =
    R"("a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,)";

struct token_kind {
    const char* name;
    std::string (*make)(const scene&);
};

/// Good ones besides the plain one: what a refused token of the same spelling is compared with.
inline const token_kind good_kinds[] = {
    {"not_before",
     [](const scene& s) { return s.forge(s.header(), claims_text(R"("nbf":1795435200,)")); }},
    {"other_header", [](const scene& s) { return s.forge(s.other_header(), claims_text()); }},
    {"eight_unknown_claims",
     [](const scene& s) { return s.forge(s.header(), claims_text(eight_unknown)); }},
};

/// Whoever has no key of ours can send these: made up, cut, changed, or good once.
inline const token_kind refused_kinds[] = {
    {"empty", [](const scene&) { return std::string(); }},
    {"1_mib", [](const scene&) { return std::string(1 << 20, 'A'); }},
    {"4_kib", [](const scene&) { return std::string(4096, 'A'); }},
    {"4_kib_of_dots", [](const scene&) { return std::string(4096, '.'); }},
    {"two_segments", [](const scene& s) { return s.good.substr(0, s.good.rfind('.')); }},
    {"five_segments", [](const scene& s) { return s.good + ".AAAA.AAAA"; }},
    {"header_not_base64url", [](const scene& s) { return "e=" + s.good; }},
    {"header_not_json", [](const scene& s) { return s.forge(s.header() + "}", claims_text()); }},
    {"header_member_twice",
     [](const scene& s) {
         return s.forge(s.header(name(s.k.alg()), R"(,"typ":"at+jwt")"), claims_text());
     }},
    {"header_of_many_members",
     [](const scene& s) {
         return s.forge(
             s.header(name(s.k.alg()), R"(,"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1)"),
             claims_text());
     }},
    {"crit",
     [](const scene& s) {
         return s.forge(s.header(name(s.k.alg()), R"(,"crit":["exp"])"), claims_text());
     }},
    {"wrong_type",
     [](const scene& s) {
         auto header = s.header();
         return s.forge(header.replace(header.find("at+jwt"), 6, "JWT"), claims_text());
     }},
    {"unknown_kid",
     [](const scene& s) {
         return s.forge(
             R"({"alg":")" + std::string(name(s.k.alg())) + R"(","kid":"nobody","typ":"at+jwt"})",
             claims_text());
     }},
    {"revoked_key",
     [](const scene& s) {
         auto header = s.header();
         return scene::forge(s.old,
                             header.replace(header.find(s.k.kid()), s.k.kid().size(), s.old.kid()),
                             claims_text());
     }},
    {"none", [](const scene& s) { return s.forge(s.header("none"), claims_text()); }},
    {"other_algorithm",
     [](const scene& s) {
         const bool hmac = s.k.alg() == token::algorithm::hs256;
         return s.forge(s.header(hmac ? "ES256" : "HS256"), claims_text());
     }},
    {"payload_too_long",
     [](const scene& s) {
         return s.forge(s.header(), claims_text(R"("note":")" + std::string(200, 'x') + "\","));
     }},
    {"signature_not_base64url",
     [](const scene& s) {
         auto token = s.good;
         token.back() = '=';
         return token;
     }},
    {"signature_cut", [](const scene& s) { return s.good.substr(0, s.good.size() - 4); }},
    {"bad_signature", [](const scene& s) { return with_bad_signature(s.good); }},
    {"bad_signature_longest", [](const scene& s) { return longest_junk(s, s.header()); }},
    {"bad_signature_other_header",
     [](const scene& s) { return with_bad_signature(s.forge(s.other_header(), claims_text())); }},
    {"bad_signature_longest_other_header",
     [](const scene& s) { return longest_junk(s, s.other_header()); }},
    {"expired",
     [](const scene& s) {
         return s.forge(s.header(), token::write_claims(us, moved(std::chrono::hours(-1))));
     }},
};

/// Only whoever holds our key could make these.
inline const token_kind signed_kinds[] = {
    {"issued_later",
     [](const scene& s) {
         return s.forge(s.header(), token::write_claims(us, moved(std::chrono::hours(1))));
     }},
    {"not_before",
     [](const scene& s) { return s.forge(s.header(), claims_text(R"("nbf":1795438800,)")); }},
    {"wrong_issuer",
     [](const scene& s) {
         return s.forge(s.header(), claims_with("insula.example", "insula.exempla"));
     }},
    {"wrong_audience",
     [](const scene& s) {
         return s.forge(s.header(), claims_with(R"("aud":"insula")", R"("aud":"insulb")"));
     }},
    {"payload_not_base64url",
     [](const scene& s) {
         std::string text = base64url_encode(as_bytes(s.header())) + ".";
         text += base64url_encode(as_bytes(claims_text())) + "=";
         std::vector<std::uint8_t> raw(s.k.inner().signature_bytes);
         token::row_of(s.k.alg()).make_sign(s.k.inner())->sign(text, raw);
         return text + "." + base64url_encode(raw);
     }},
    {"payload_not_json", [](const scene& s) { return s.forge(s.header(), claims_text() + "}"); }},
    {"claim_missing",
     [](const scene& s) { return s.forge(s.header(), claims_with("sver", "svar")); }},
    {"claim_twice",
     [](const scene& s) { return s.forge(s.header(), claims_text(R"("sver":3,)")); }},
    {"claim_of_wrong_type",
     [](const scene& s) {
         return s.forge(s.header(), claims_with(R"("sver":3)", R"("sver":"3")"));
     }},
    {"unknown_claim_twice",
     [](const scene& s) {
         auto more = std::string(eight_unknown);
         return s.forge(s.header(), claims_text(more.replace(more.find('h'), 1, "a")));
     }},
    {"expired_other_header",
     [](const scene& s) {
         return s.forge(s.other_header(), token::write_claims(us, moved(std::chrono::hours(-1))));
     }},
};

}  // namespace insula::bench
