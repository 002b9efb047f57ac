#pragma once
// Tokens made by hand, right and wrong, for the tests of this module.

#include "token/algorithm.hpp"
#include "token/claims_text.hpp"

#include "insula/core/base64.hpp"
#include "insula/token/token.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace insula::token::test {

inline const authority us{"https://insula.example", "insula"};

inline timestamp at_second(std::int64_t seconds) {
    return timestamp(std::chrono::seconds(seconds));
}

// A Monday in 2026; every test runs at this time.
inline constexpr std::int64_t noon_s = 1795435200;
inline const timestamp noon = at_second(noon_s);

inline claims sample_claims() {
    claims what;
    what.subject = user_id::make();
    what.session = session_id::make();
    what.session_version = 7;
    what.tenant = tenant_id::make();
    what.role = role::admin;
    what.id = make_uuid_v7();
    what.issued_at = std::chrono::sys_seconds(std::chrono::seconds(noon_s - 10));
    what.expires_at = what.issued_at + std::chrono::minutes(15);
    return what;
}

inline std::shared_ptr<const key_set> set_of(std::vector<key_entry> entries) {
    return key_set::make(std::move(entries)).value();
}

inline std::string encode(std::string_view text) {
    return base64url_encode(as_bytes(text));
}

/// A token with any header and payload text, rightly signed with `with`.
inline std::string forge(std::string_view header, std::string_view payload, const key& with) {
    std::string token = encode(header) + "." + encode(payload);
    const auto& row = row_of(with.alg());
    std::vector<std::uint8_t> signature(with.inner().signature_bytes);
    row.make_sign(with.inner())->sign(token, signature);
    return token + "." + base64url_encode(signature);
}

inline std::string header_of(const key& with) {
    return R"({"alg":")" + std::string(name(with.alg())) + R"(","kid":")" + with.kid() +
           R"(","typ":"at+jwt"})";
}

inline std::string payload_of(const claims& what) {
    return write_claims(us, what);
}

/// The payload of `what` with `from` replaced by `to`, which must occur.
inline std::string changed(std::string text, std::string_view from, std::string_view to) {
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

/// "good" or the reason.
inline std::string verdict(verifier& by, std::string_view token, timestamp now = noon) {
    const auto got = by.verify(token, now);
    return got ? "good" : std::string(name(got.error()));
}

/// Every algorithm we have: the suites are instantiated for each.
inline constexpr algorithm every_algorithm[] = {algorithm::es256, algorithm::hs256,
                                                algorithm::eddsa, algorithm::rs256};

inline std::string algorithm_label(const testing::TestParamInfo<algorithm>& info) {
    return std::string(name(info.param));
}

/// A key made once for the whole program: one of RSA takes a tenth of a second. Different `number`,
/// different key.
inline const key& sample_key(algorithm alg, int number = 0) {
    static std::map<std::pair<algorithm, int>, key> made;
    const std::pair at{alg, number};
    const auto known = made.find(at);
    return known != made.end() ? known->second : made.emplace(at, key::generate(alg)).first->second;
}

class with_key : public testing::TestWithParam<algorithm> {
protected:
    key k = sample_key(GetParam());
    std::shared_ptr<const key_set> keys = set_of({{k, key_state::active}});
    verifier check{us, keys};
    signer sign{us, keys};
    claims what = sample_claims();
    std::string token = sign.sign(what).value();
};

}  // namespace insula::token::test
