// Private keys from outside: material of any kind under each algorithm. What is taken is a whole
// key: it comes back as it went, signs, and its own public half agrees. Input: algorithm (0 to 3),
// way, material. Ways: r the octets as they are, under the kid they may have; c a good key's octets
// with changes (position of two octets, octet); s octets that claim to be sealed.
#include "support/fuzz.hpp"
#include "token/algorithm.hpp"

#include "insula/core/base64.hpp"
#include "insula/token/jwks.hpp"
#include "insula/token/key.hpp"
#include "insula/token/key_set.hpp"
#include "insula/token/token.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <array>

namespace insula::token {
namespace {

using fuzz::require;
using octets = std::vector<std::uint8_t>;

constexpr std::array all{algorithm::es256, algorithm::hs256, algorithm::eddsa, algorithm::rs256};

/// A good key of each algorithm, made once.
const key& sample(algorithm alg) {
    static const std::array<key, 4> made{key::generate(all[0]), key::generate(all[1]),
                                         key::generate(all[2]), key::generate(all[3])};
    return made.at(static_cast<std::size_t>(alg));
}

octets of(const secret_bytes& secret) {
    const auto view = secret.view();
    return {view.begin(), view.end()};
}

void signs_and_verifies(const key& taken) {
    const authority us{"https://insula.example", "insula"};
    const auto keys = key_set::make({{taken, key_state::active}});
    require(keys.has_value(), "no key set can be made of it");
    signer sign(us, *keys);
    claims what;
    what.subject = user_id::make();
    what.session = session_id::make();
    what.id = make_uuid_v7();
    what.issued_at = std::chrono::sys_seconds(std::chrono::seconds(1'795'435'200));
    what.expires_at = what.issued_at + std::chrono::minutes(15);
    const auto token = sign.sign(what);
    require(token.has_value(), "it does not sign");
    verifier check(us, *keys);
    const auto back = check.verify(*token, what.issued_at);
    require(back && *back == what, "its own token does not verify");
    const auto published = boost::json::parse(jwks_json(**keys)).at("keys").as_array();
    require(published.size() == (taken.has_public_half() ? 1U : 0U), "published or not");
    require(!taken.has_public_half() || published[0].at("kid").as_string() == taken.kid(),
            "published under another name");
}

void check_taken(const key& taken, algorithm alg, const std::string& kid) {
    require(taken.alg() == alg && taken.kid() == kid, "another algorithm or name");
    const auto material = of(taken.export_private());
    const auto again = key::import_private(alg, kid, material);
    require(again.has_value(), "what it exports is not taken");
    require(of(again->export_private()) == material, "it has two forms");
    signs_and_verifies(taken);
}

void import_changed(algorithm alg, std::string_view changes) {
    const auto& good = sample(alg);
    auto material = of(good.export_private());
    const auto before = material;
    if (!changes.empty() && changes.size() % 3 == 1) {
        material.resize(material.size() * static_cast<unsigned char>(changes.back()) / 255);
    }
    for (; changes.size() >= 3 && !material.empty(); changes.remove_prefix(3)) {
        const auto at =
            static_cast<unsigned char>(changes[0]) * 256U + static_cast<unsigned char>(changes[1]);
        material[at % material.size()] = static_cast<std::uint8_t>(changes[2]);
    }
    const auto taken = key::import_private(alg, good.kid(), material);
    if (taken) {
        check_taken(*taken, alg, good.kid());
        require(!taken->has_public_half() || taken->public_jwk() == good.public_jwk(),
                "another public half under the same thumbprint");
    }
    require(material != before || taken.has_value(), "a good key is not taken");
}

/// Every key under every other algorithm: octets of one kind are never a key of another.
void import_raw(algorithm alg, std::string_view text) {
    const octets material(text.begin(), text.end());
    for (const auto& kid : {std::string("fuzz"), std::string(), sample(alg).kid()}) {
        if (const auto taken = key::import_private(alg, kid, material)) {
            check_taken(*taken, alg, kid);
            require(alg == algorithm::hs256, "a key whose thumbprint is not its name");
        }
    }
    for (const auto other : all) {
        const auto foreign = of(sample(other).export_private());
        require(other == alg || alg == algorithm::hs256 ||
                    !key::import_private(alg, sample(other).kid(), foreign),
                "a key of another algorithm is taken");
    }
}

void open_sealed(algorithm alg, std::string_view text) {
    const secret_bytes wrapping(32);
    const octets blob(text.begin(), text.end());
    require(!open_key(alg, "fuzz", blob, wrapping), "opened, though nobody sealed it");
    const auto& good = sample(alg);
    auto sealed = seal_key(good, wrapping);
    const auto opened = open_key(alg, good.kid(), sealed, wrapping);
    require(opened && of(opened->export_private()) == of(good.export_private()),
            "a sealed key does not come back");
    if (text.size() >= 3 && text[2] != '\0') {
        const auto at =
            static_cast<unsigned char>(text[0]) * 256U + static_cast<unsigned char>(text[1]);
        sealed[at % sealed.size()] ^= static_cast<std::uint8_t>(text[2]);
        require(!open_key(alg, good.kid(), sealed, wrapping), "a changed blob opens");
    }
    require(!open_key(alg, good.kid() + "x", sealed, wrapping), "opened under another name");
}

}  // namespace

int run(std::string_view input) {
    const auto alg = all[static_cast<unsigned char>(fuzz::take_one(input)) % all.size()];
    const char way = fuzz::take_one(input);
    if (way == 'c') {
        import_changed(alg, input);
    } else if (way == 's') {
        open_sealed(alg, input);
    } else {
        import_raw(alg, input);
    }
    return 0;
}

}  // namespace insula::token

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return insula::token::run(insula::fuzz::as_text(data, size));
}
