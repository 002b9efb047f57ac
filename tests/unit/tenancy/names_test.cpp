#include "insula/tenancy/names.hpp"

#include "insula/tenancy/bootstrap.hpp"
#include "insula/tenancy/scope.hpp"

#include <gtest/gtest.h>

#include <regex>
#include <set>

namespace insula::tenancy {
namespace {

TEST(tenant_name, G05_is_a_function_of_the_id_and_injective) {
    std::set<std::string> seen;
    for (int i = 0; i < 10'000; ++i) {
        const auto name = tenant_name(tenant_id::make());
        EXPECT_TRUE(std::regex_match(name, std::regex("t_[0-9a-f]{32}"))) << name;
        EXPECT_TRUE(seen.insert(name).second);
    }
    const auto id = *tenant_id::parse("01890000-0000-7000-8000-00000000000A");
    EXPECT_EQ(tenant_name(id), "t_0189000000007000800000000000000a");
}

TEST(role_names, take_a_plain_prefix_only) {
    for (const auto* good : {"insula", "a", "it4f1c09ab", "my_app_2"}) {
        EXPECT_TRUE(role_names::make(good)) << good;
    }
    for (const auto* bad :
         {"", "Insula", "2insula", "_x", "in-sula", "a\"b", "a b", "a;drop role x", "insula\n",
          "x_schema", "a234567890123456789012345678901234"}) {
        EXPECT_FALSE(role_names::make(bad)) << bad;
    }
    EXPECT_FALSE(role_names::make(std::string_view("a\0b", 3)));
}

TEST(expand_names, replaces_exactly_the_placeholders) {
    const auto roles = *role_names::make("acme");
    EXPECT_EQ(expand_names(
                  "grant {role:app} to {name:owner} in {database} for {prefix}; {t} {role:nobody}",
                  roles, "my \"db"),
              "grant \"acme_app\" to acme_owner in \"my \"\"db\" for acme; {t} {role:nobody}");
}

TEST(quoting, cannot_be_left_by_its_own_quote) {
    EXPECT_EQ(quote_identifier("a\"b"), "\"a\"\"b\"");
    EXPECT_EQ(quote_literal("it's"), "'it''s'");
    EXPECT_EQ(quote_literal("back\\slash'"), " E'back\\\\slash'''");
}

TEST(login_password, differs_by_role_and_key_and_is_stable) {
    secret_bytes key(32);
    const auto app = login_password(key, "insula_app");
    EXPECT_EQ(app.size(), 43U);
    EXPECT_EQ(app, login_password(key, "insula_app"));
    EXPECT_FALSE(app == login_password(key, "insula_worker"));
    secret_bytes other(32);
    other.writable()[0] = 1;
    EXPECT_FALSE(app == login_password(other, "insula_app"));
}

TEST(scram_verifier, has_the_form_that_PostgreSQL_stores) {
    const auto verifier = scram_verifier("pencil");
    EXPECT_TRUE(std::regex_match(
        verifier,
        std::regex(
            "SCRAM-SHA-256\\$4096:[A-Za-z0-9+/]{22}==\\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=")))
        << verifier;
    EXPECT_NE(verifier, scram_verifier("pencil")) << "the salt is random";
}

TEST(choose_cell, spreads_tenants_evenly_and_stays_in_range) {
    std::vector<int> counts(16);
    for (int i = 0; i < 16'000; ++i) {
        counts.at(static_cast<std::size_t>(choose_cell(tenant_id::make(), 16)))++;
    }
    for (const auto count : counts) {
        EXPECT_NEAR(count, 1000, 250);
    }
    EXPECT_EQ(choose_cell(tenant_id::make(), 1), 0);
}

}  // namespace
}  // namespace insula::tenancy
