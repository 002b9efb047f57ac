// Whatever text arrives never becomes SQL, and never another schema or role than the tenant's own.
#include "deployment.hpp"

#include <algorithm>
#include <array>

namespace insula::test {
namespace {

using namespace std::string_literals;

const std::vector<std::string> hostile_texts{
    "'",
    "\"",
    "a'b",
    "a\"b",
    "a;b",
    "a--b",
    "a/*b",
    "$$",
    "$x$;drop schema control cascade;$x$",
    "x'; drop schema control cascade; --",
    "x\"; drop role postgres; --",
    "t_0123456789abcdef0123456789abcdef",
    "pg_catalog",
    "control",
    "{t}",
    "{role:owner}",
    "%I",
    "%s%n",
    "\\",
    "\\'",
    "a\\000b",
    "../control",
    "E'\\x41'",
    "a b",
    " a",
    "a ",
    "a\n",
    "a\r\n",
    "\na",
    "a\tb",
    "\xd0\xb0\x63\x6d\x65"s,                              // Cyrillic a, then "cme"
    "acme\xe2\x80\x8b"s,                                  // zero width space
    "acme\xe2\x80\xae"s,                                  // right-to-left override
    "\xef\xbd\x81\xef\xbd\x83\xef\xbd\x8d\xef\xbd\x85"s,  // full-width "acme"
    "acme\xcc\x81"s,                                      // combining accent
    "\xca\xbc; drop table projects; --"s,  // modifier apostrophe, which some make a quote
    "\xf0\x9d\x94\x9e"s,                   // mathematical a
    "A",
    "-a",
    "a-",
    "a--b",
    "1a",
    "",
    std::string(57, 'a'),
    std::string(63, 'a'),
    std::string(64, 'a'),
    std::string(10'000, 'a'),
    "a\0b"s,
    "\0"s,
    "a\0"s};

std::string percent_encoded(std::string_view text) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    return out;
}

rows schemas(deployment& where) {
    return where.database().query_admin(
        "select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in "
        "('information_schema',"
        " 'public', 'control', 'queue', 'tenant_api', 'provision') order by 1");
}

rows tenant_roles(deployment& where) {
    return where.database().query_admin(
        "select m.rolname from pg_auth_members a join pg_roles m on m.oid = a.member join pg_roles "
        "g on g.oid ="
        " a.roleid where g.rolname = '" +
        where.database().role_prefix() + "_tenant' and m.rolname not like '" +
        where.database().role_prefix() + "\\_%' order by 1");
}

rows service_roles(deployment& where) {
    return where.database().query_admin(
        "select rolname, rolcanlogin, rolcreaterole, rolsuper from pg_roles"
        " where rolname like '" +
        where.database().role_prefix() + "\\_%' order by 1");
}

/// The names that the ready tenants' ids give, by our own arithmetic.
rows expected_names(deployment& where) {
    rows names;
    for (const auto& one :
         where.database().query_admin("select id from control.tenant where status = 'ready'")) {
        person who;
        who.tenant_id = one.front();
        names.push_back({who.schema()});
    }
    std::ranges::sort(names);
    return names;
}

class system_injection : public testing::Test {
protected:
    void TearDown() override {
        EXPECT_EQ(schemas(where_), expected_names(where_));
        EXPECT_EQ(tenant_roles(where_), expected_names(where_));
        EXPECT_EQ(service_roles(where_), roles_before_);
        EXPECT_EQ(where_.database().query_admin("select to_regclass('control.tenant') is not null"),
                  (rows{{"t"}}));
    }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
    rows roles_before_ = service_roles(where_);
};

TEST_F(system_injection, G05_schema_name_sql_injection_is_prevented) {
    const auto tenants = where_.database().value_admin("select count(*) from control.tenant");
    for (const auto& text : hostile_texts) {
        const auto answer =
            post_json(client_, "/api/v1/auth/register",
                      registration_form(text, where_.fresh_slug("hostile") + "@example.org"));
        EXPECT_TRUE(is_problem(answer, 422, "validation_failed")) << testing::PrintToString(text);
    }
    EXPECT_EQ(where_.database().value_admin("select count(*) from control.tenant"), tenants);
    // Words of SQL that are good slugs.
    for (const std::string text : {"select", "drop-schema-public-cascade", "current-user", "t-0"}) {
        const auto answer = post_json(client_, "/api/v1/auth/register",
                                      registration_form(text, text + "@example.org"));
        ASSERT_EQ(answer.status, 202) << answer.text();
        EXPECT_EQ(text_of(parse(get(client_, *answer.field("Location") + "?wait=30")), "/status"),
                  "ready");
    }
}

TEST_F(system_injection, G05_slugs_alike_in_their_first_55_characters_are_two_tenants) {
    const std::string stem(55, 'a');
    for (const char last : {'x', 'y'}) {
        const auto slug = stem + last;
        const auto answer =
            post_json(client_, "/api/v1/auth/register",
                      registration_form(slug, slug.substr(50) + last + "@example.org"));
        ASSERT_EQ(answer.status, 202) << answer.text();
        EXPECT_EQ(text_of(parse(get(client_, *answer.field("Location") + "?wait=30")), "/status"),
                  "ready");
    }
}

TEST_F(system_injection, G05_hostile_names_are_refused_or_stored_as_they_are) {
    const auto who = where_.make_person("names");
    int stored = 0;
    for (std::size_t i = 0; i < hostile_texts.size(); ++i) {
        const auto& text = hostile_texts[i];
        const std::string name = text + "#" + std::to_string(i);
        const auto answer = post_json(client_, "/api/v1/projects",
                                      {{"name", name}, {"description", text}}, who.auth());
        if (answer.status != 201) {
            EXPECT_TRUE(is_problem(answer, 422, "validation_failed"))
                << testing::PrintToString(text);
            continue;
        }
        ++stored;
        const auto read = parse(get(client_, *answer.field("Location"), who.auth()));
        const auto trimmed = json::value_from(text_of(read, "/name")).as_string();
        EXPECT_NE(name.find(std::string_view(trimmed)), std::string::npos)
            << testing::PrintToString(name);
        EXPECT_EQ(where_.database().query_admin("select count(*) from " + who.schema() +
                                                    ".projects where id = $1 and name = $2",
                                                {text_of(read, "/id"), std::string(trimmed)}),
                  (rows{{"1"}}));
    }
    EXPECT_GE(stored, 30);
    EXPECT_EQ(where_.database().value_admin("select count(*) from " + who.schema() + ".projects"),
              std::to_string(stored));
    // Names of tenants and people.
    const auto slug = where_.fresh_slug("hostile");
    auto form = registration_form(slug, slug + "@example.org");
    form["tenant_name"] = "x'; drop schema control cascade; --";
    form["full_name"] = "$$; drop role postgres; $$";
    const auto answer = post_json(client_, "/api/v1/auth/register", form);
    ASSERT_EQ(answer.status, 202) << answer.text();
    EXPECT_EQ(text_of(parse(answer), "/tenant/name"), "x'; drop schema control cascade; --");
    EXPECT_EQ(text_of(parse(get(client_, *answer.field("Location") + "?wait=30")), "/status"),
              "ready");
}

TEST_F(system_injection, G05_hostile_ids_slugs_cursors_and_limits_in_addresses_are_refused) {
    const auto who = where_.make_person("addresses");
    make_project(client_, who, "stays");
    for (const auto& text : hostile_texts) {
        if (text.size() > 1000) {
            continue;  // too long a header is tried elsewhere
        }
        const auto encoded = percent_encoded(text);
        for (const std::string method : {"GET", "DELETE", "PATCH"}) {
            if (encoded.empty()) {
                continue;  // that is another path
            }
            auto fields = who.auth();
            fields.emplace_back("Content-Type", "application/json");
            const auto answer = client_.send(method, "/api/v1/projects/" + encoded, fields,
                                             method == "PATCH" ? R"({"name":"gone"})" : "");
            EXPECT_TRUE(is_client_error(answer)) << method << testing::PrintToString(text);
        }
        EXPECT_TRUE(is_client_error(get(client_, "/api/v1/projects?cursor=" + encoded, who.auth())))
            << testing::PrintToString(text);
        EXPECT_TRUE(is_client_error(get(client_, "/api/v1/projects?limit=" + encoded, who.auth())))
            << testing::PrintToString(text);
        if (!encoded.empty()) {
            EXPECT_TRUE(is_client_error(get(client_, "/api/v1/tenants/" + encoded, who.auth())))
                << testing::PrintToString(text);
            EXPECT_TRUE(is_client_error(get(client_, "/api/v1/registrations/" + encoded)))
                << testing::PrintToString(text);
        }
    }
    EXPECT_EQ(where_.database().query_admin("select name from " + who.schema() + ".projects"),
              (rows{{"stays"}}));
}

}  // namespace
}  // namespace insula::test
