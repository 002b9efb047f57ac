// Access tokens, in three ways, by the first character of the input:
//   t TEXT                 the text as it is
//   f ALG HEADER\nPAYLOAD  header and payload of any kind, rightly signed with our key of that
//                          algorithm (0 to 3), $kid being its name: only so is what stands behind
//                          the signature's check reached
//   m ALG CHANGES          a good token with changes: position (two octets), octet
// Whoever is asked says the same, the second time from the cache; what is taken says nothing that
// another JSON parser does not read there; and a token that was changed is refused (G11).
#include "support/fuzz.hpp"
#include "token/algorithm.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/json.hpp"
#include "insula/token/cache.hpp"
#include "insula/token/inspect.hpp"

#include <array>

namespace insula::token {
namespace {

using fuzz::require;

constexpr std::array all{algorithm::es256, algorithm::hs256, algorithm::eddsa, algorithm::rs256};
constexpr std::int64_t noon_s = 1795435200;

struct fixture {
    authority us{"https://insula.example", "insula"};
    timestamp noon{std::chrono::seconds(noon_s)};
    std::vector<key> keys;
    std::shared_ptr<const key_set> set;
    std::vector<std::string> good;  ///< by algorithm
    std::optional<verifier> check;

    fixture() {
        std::vector<key_entry> entries;
        for (const auto alg : all) {
            keys.push_back(key::generate(alg));
            entries.push_back({keys.back(), key_state::active});
        }
        set = key_set::make(entries).value();
        for (const auto& one : keys) {
            signer sign(us, key_set::make({{one, key_state::active}}).value());
            good.push_back(sign.sign(sample()).value());
        }
        check.emplace(us, set);
    }
    static claims sample() {
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
};

fixture& given() {
    static fixture one;
    return one;
}

const key& key_of(char choice) {
    return given().keys[static_cast<unsigned char>(choice) % all.size()];
}

std::string forge(std::string_view header, std::string_view payload, const key& with) {
    std::string token =
        base64url_encode(as_bytes(header)) + "." + base64url_encode(as_bytes(payload));
    std::vector<std::uint8_t> signature(with.inner().signature_bytes);
    row_of(with.alg()).make_sign(with.inner())->sign(token, signature);
    return token + "." + base64url_encode(signature);
}

std::string text_at(const boost::json::value& tree, std::string_view member) {
    const auto* found = tree.as_object().if_contains(member);
    return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}

/// The verdict of everybody who can be asked.
verified asked(std::string_view text) {
    auto& with = given();
    const auto verdict = with.check->verify(text, with.noon);
    checker cached(with.us, with.set, 8);
    for (int round = 0; round < 2; ++round) {
        const auto again = cached.check(text, with.noon);
        require(again.has_value() == verdict.has_value(), "the cache has another verdict");
        require(!again || **again == *verdict, "the cache has other claims");
        require(again || again.error() == verdict.error(), "the cache has another reason");
    }
    const auto seen = inspect(text, with.us, with.set, with.noon);
    require(seen.why.has_value() != verdict.has_value(), "inspect has another verdict");
    require(!seen.why || *seen.why == verdict.error(), "inspect has another reason");
    require(!seen.what || *seen.what == *verdict, "inspect has other claims");
    for (const char c : seen.header + seen.payload + seen.kid) {
        require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f,
                "inspect hands a control character to a terminal");
    }
    return verdict;
}

/// What a token that was taken must say, read by another parser.
void compare(std::string_view token, const claims& what) {
    const auto dot = token.find('.');
    const auto second = token.find('.', dot + 1);
    const auto header = base64url_decode(token.substr(0, dot));
    const auto payload = base64url_decode(token.substr(dot + 1, second - dot - 1));
    require(header && payload, "taken, though core's base64url refuses it");
    const json_limits wide{.depth_max = 4000, .members_max = 4000};
    const auto head = parse_json(as_text(*header), wide);
    const auto body = parse_json(as_text(*payload), wide);
    require(head && head->is_object(), "taken, though the header is no JSON object");
    require(body && body->is_object(), "taken, though the payload is no JSON object");
    const auto* entry = given().set->find(text_at(*head, "kid"));
    require(entry != nullptr, "taken, though no key of ours is named");
    require(text_at(*head, "alg") == name(entry->value.alg()), "taken with another algorithm");
    require(head->as_object().size() == 3, "taken with a header member of no meaning");
    require(text_at(*body, "iss") == given().us.issuer, "taken from another issuer");
    require(text_at(*body, "sub") == what.subject.str(), "another subject");
    require(text_at(*body, "sid") == what.session.str(), "another session");
    require(text_at(*body, "tid") == (what.tenant ? what.tenant->str() : ""), "another tenant");
    require(text_at(*body, "role") == name(what.role), "another role");
    require(what.tenant.has_value() == (what.role != role::none), "a role without a tenant");
    require(body->at("sver").to_number<std::int64_t>() == what.session_version, "another version");
    require(body->at("exp").to_number<std::int64_t>() == what.expires_at.time_since_epoch().count(),
            "another end");
    require(what.expires_at.time_since_epoch().count() > noon_s, "taken though expired");
}

/// What was taken can be said again in our own words, and means the same.
void say_again(const claims& what) {
    if (what.expires_at <= what.issued_at) {
        return;  // a foreign clock; we do not sign that
    }
    signer sign(given().us, given().set);
    const auto token = sign.sign(what);
    require(token.has_value(), "claims that were taken cannot be signed");
    const auto back = given().check->verify(*token, given().noon);
    require(back && *back == what, "claims do not come back as they went");
}

std::string changed(std::string token, std::string_view changes) {
    for (; changes.size() >= 3; changes.remove_prefix(3)) {
        const auto at =
            static_cast<unsigned char>(changes[0]) * 256U + static_cast<unsigned char>(changes[1]);
        token[at % token.size()] = changes[2];
    }
    return token;
}

}  // namespace

int run(std::string_view input) {
    const char way = fuzz::take_one(input);
    if (way == 't') {
        const auto verdict = asked(input);
        require(!verdict, "a token that nobody signed was taken");
    } else if (way == 'f') {
        const auto& with = key_of(fuzz::take_one(input));
        const auto header = fuzz::take_until(input, '\n');
        const auto token =
            forge(fuzz::replace_all(std::string(header), "$kid", with.kid()), input, with);
        if (const auto verdict = asked(token)) {
            compare(token, *verdict);
            say_again(*verdict);
        }
    } else if (way == 'm') {
        const auto& good =
            given().good[static_cast<unsigned char>(fuzz::take_one(input)) % all.size()];
        const auto token = changed(good, input);
        const auto verdict = asked(token);
        require(verdict.has_value() == (token == good), "a changed token was taken");
    }
    return 0;
}

}  // namespace insula::token

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return insula::token::run(insula::fuzz::as_text(data, size));
}
