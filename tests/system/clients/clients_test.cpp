// Other people's libraries against this service: jose verifies our tokens and we verify jose's; a
// client generated from /openapi.json compiles under tsc --strict and goes the README's tour.
#include "node.hpp"
#include "system/service/deployment.hpp"

#include "insula/core/base64.hpp"
#include "insula/token/token.hpp"

#include <fstream>

namespace insula::test {
namespace {

using token::algorithm;

constexpr algorithm every_algorithm[] = {algorithm::es256, algorithm::hs256, algorithm::eddsa,
                                         algorithm::rs256};

const token::authority us{"https://insula.example", "insula"};

std::string base64_of(const secret_bytes& octets) {
    return base64_encode(octets.view());
}

token::claims some_claims(std::chrono::sys_seconds now) {
    token::claims what;
    what.subject = user_id::make();
    what.session = session_id::make();
    what.session_version = 3;
    what.tenant = tenant_id::make();
    what.role = token::role::admin;
    what.id = make_uuid_v7();
    what.issued_at = now - std::chrono::seconds(5);
    what.expires_at = now + std::chrono::minutes(15);
    return what;
}

json::object claims_json(const token::claims& what) {
    return {{"iss", us.issuer},
            {"aud", us.audience},
            {"sub", what.subject.str()},
            {"tid", what.tenant->str()},
            {"role", token::name(what.role)},
            {"sid", what.session.str()},
            {"sver", what.session_version},
            {"jti", what.id.str()},
            {"iat", what.issued_at.time_since_epoch().count()},
            {"exp", what.expires_at.time_since_epoch().count()}};
}

/// The same token with one bit of its signature changed.
std::string bent(std::string token) {
    auto& c = token[token.rfind('.') + 10];
    c = c == 'A' ? 'B' : 'A';
    return token;
}

class system_clients : public testing::Test {
protected:
    void SetUp() override {
        if (const auto why = libraries_missing()) {
            GTEST_SKIP() << *why;
        }
    }
};

std::string label(const testing::TestParamInfo<algorithm>& info) {
    return std::string(token::name(info.param));
}

class system_clients_jose : public system_clients, public testing::WithParamInterface<algorithm> {};
INSTANTIATE_TEST_SUITE_P(each, system_clients_jose, testing::ValuesIn(every_algorithm), label);

}  // namespace

// In both directions with one key, without a service between; HS256, whose secret no service shows,
// included.
TEST_P(system_clients_jose, G11_reads_what_we_sign_and_we_read_what_it_signs) {
    const auto k = token::key::generate(GetParam());
    const auto other = token::key::generate(GetParam());
    const auto keys = token::key_set::make({{k, token::key_state::active}}).value();
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    const auto what = some_claims(now);

    token::verifier check(us, keys);
    const auto signed_by_jose = run_node("sign.mjs", {},
                                         {{"alg", token::name(GetParam())},
                                          {"kid", k.kid()},
                                          {"private", base64_of(k.export_private())},
                                          {"other", base64_of(other.export_private())},
                                          {"claims", claims_json(what)}});
    ASSERT_EQ(signed_by_jose.code, 0) << signed_by_jose.err;
    int good = 0;
    int bad = 0;
    const auto tokens = json::parse(signed_by_jose.out);
    for (const auto& one : tokens.as_array()) {
        const auto got = check.verify(text_of(one, "/token"), now);
        const bool expected = one.at("good").as_bool();
        EXPECT_EQ(got.has_value(), expected)
            << text_of(one, "/name") << ": "
            << (got ? "good" : std::string(token::name(got.error())));
        ++(expected ? good : bad);
        if (text_of(one, "/name") == "as we sign" && got) {
            EXPECT_EQ(*got, what);
        }
    }
    EXPECT_EQ(good, 4);
    EXPECT_GE(bad, 24);

    if (GetParam() == algorithm::hs256) {  // the others go through the service's JWKS, below
        const auto ours = token::signer(us, keys).sign(what).value();
        const auto theirs =
            token::signer(us, token::key_set::make({{other, token::key_state::active}}).value())
                .sign(what)
                .value();
        const auto read =
            run_node("verify.mjs", {},
                     {{"secret", base64_of(k.export_private())},
                      {"issuer", us.issuer},
                      {"audience", us.audience},
                      {"tokens", json::array{json::object{{"token", ours}, {"good", true}},
                                             json::object{{"token", bent(ours)}, {"good", false}},
                                             json::object{{"token", theirs}, {"good", false}}}}});
        EXPECT_EQ(read.code, 0) << read.out << read.err;
    }
}

// A resource server elsewhere: it knows the issuer's address and nothing else.
TEST_F(system_clients, G11_access_tokens_verify_through_the_published_keys) {
    auto& where = shared_deployment();
    const auto who = where.make_person("jose");
    auto client = where.server().client();
    json::array tokens{json::object{{"token", who.token}, {"good", true}},
                       json::object{{"token", bent(who.token)}, {"good", false}}};
    for (const auto alg :
         {algorithm::eddsa, algorithm::rs256, algorithm::hs256, algorithm::es256}) {
        const std::string wanted(token::name(alg));
        const auto rotated =
            run_insula({"keys", "rotate", "--algorithm", wanted}, where.variables());
        ASSERT_EQ(rotated.code, 0) << rotated.err;
        std::string fresh;
        wait_until("tokens of " + wanted, [&] {
            fresh = where.log_in(who);
            const auto header = base64url_decode(fresh.substr(0, fresh.find('.'))).value();
            return text_of(json::parse(as_text(header)), "/alg") == wanted;
        });
        // With the secret nobody else can verify it, so nobody else may accept it.
        tokens.push_back(json::object{{"token", fresh}, {"good", alg != algorithm::hs256}});
        tokens.push_back(json::object{{"token", bent(fresh)}, {"good", false}});
        EXPECT_EQ(get(client, "/api/v1/users/me", {{"Authorization", "Bearer " + fresh}}).status,
                  200);
    }
    const auto configuration = parse(get(client, "/.well-known/openid-configuration"));
    const auto read =
        run_node("verify.mjs", {},
                 {{"jwks_url", "http://" + where.server().address() + "/.well-known/jwks.json"},
                  {"issuer", configuration.at("issuer")},
                  {"audience", configuration.at("issuer")},
                  {"tokens", tokens}});
    EXPECT_EQ(read.code, 0) << read.out << read.err;
    const auto algorithms =
        json::serialize(configuration.at("id_token_signing_alg_values_supported"));
    for (const char* name : {"ES256", "EdDSA", "RS256"}) {
        EXPECT_NE(algorithms.find(name), std::string::npos) << algorithms;
    }
    EXPECT_EQ(algorithms.find("HS256"), std::string::npos);
}

TEST_F(system_clients, the_description_is_valid_openapi_and_a_strict_client_goes_the_tour) {
    auto& where = shared_deployment();
    auto client = where.server().client();
    const auto document = clients_folder() + "/openapi.json";
    std::ofstream(document) << get(client, "/openapi.json").body;
    const auto checked = run_node("check-document.mjs", {document});
    EXPECT_EQ(checked.code, 0) << checked.out << checked.err;

    const auto types = run_node("node_modules/openapi-typescript/bin/cli.js",
                                {document, "--output", clients_folder() + "/api.d.ts"});
    ASSERT_EQ(types.code, 0) << types.out << types.err;
    const auto compiled =
        run_node("node_modules/typescript/bin/tsc", {"--project", clients_folder()});
    ASSERT_EQ(compiled.code, 0) << compiled.out << compiled.err;
    const auto gone = run_node("built/tour.js", {}, {},
                               {{"INSULA_URL", "http://" + where.server().address()},
                                {"INSULA_MAIL_DIR", where.mail_folder()}});
    EXPECT_EQ(gone.code, 0) << gone.out << gone.err;
}

}  // namespace insula::test
