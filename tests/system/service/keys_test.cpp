// Signing keys: `insula keys`, and what every process makes of it.
#include "deployment.hpp"

#include <algorithm>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr auto projects = "/api/v1/projects";
const std::vector<std::string> algorithms{"ES256", "EdDSA", "RS256", "HS256"};

class system_keys : public testing::Test {
protected:
    struct processes {
        deployment where;
        std::unique_ptr<served> far;
    };
    static void SetUpTestSuite() {
        all = new processes;
        (void)all->where.server();
        all->far = std::make_unique<served>(all->where.variables());
    }
    static void TearDownTestSuite() {
        delete all;
        all = nullptr;
    }

    static served& near() { return all->where.server(); }
    static served& far() { return *all->far; }
    static finished keys(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "keys");
        return run_insula(arguments, all->where.variables());
    }
    static json::value keys_json(std::vector<std::string> arguments) {
        arguments.emplace_back("--json");
        const auto done = keys(std::move(arguments));
        EXPECT_EQ(done.code, 0) << done.err;
        return json::parse(done.out);
    }
    static std::string sql(const std::string& text) {
        return all->where.database().value_admin(text);
    }
    static http_answer read(served& at, const std::string& token) {
        auto client = at.client();
        return get(client, projects, {{"Authorization", "Bearer " + token}});
    }
    static json::value header_of(const std::string& token) {
        auto text = token.substr(0, token.find('.'));
        text.append((4 - text.size() % 4) % 4, '=');
        return json::parse(sql("select convert_from(decode(translate('" + text +
                               "', '-_', '+/'), 'base64'), 'utf8')"));
    }
    static std::vector<std::string> published(served& at) {
        auto client = at.client();
        std::vector<std::string> kids;
        const auto document = parse(get(client, "/.well-known/jwks.json"));
        for (const auto& key : document.at("keys").as_array()) {
            kids.push_back(text_of(key, "/kid"));
        }
        return kids;
    }
    /// Tokens of that key are refused, whatever loop answers, in requests that start later than a
    /// second after `since`.
    static void refused_within_a_second(served& at, const std::string& token,
                                        clock_type::time_point since) {
        for (;;) {
            const auto began = clock_type::now();
            const auto answer = read(at, token);
            if (answer.status != 200) {
                EXPECT_TRUE(is_problem(answer, 401, "invalid_token"));
                break;
            }
            ASSERT_LT(began - since, 1s) << "a second later it is still let in";
        }
        for (int connection = 0; connection < 8; ++connection) {
            EXPECT_TRUE(is_problem(read(at, token), 401, "invalid_token"));
        }
    }

    static inline processes* all = nullptr;
};

TEST_F(system_keys, a_rotation_logs_nobody_out_and_is_followed_by_every_process_at_once) {
    const auto who = all->where.make_person("rotate");
    auto tokens = std::vector<std::string>{who.token};
    for (const auto& algorithm : algorithms) {
        const auto rotated = keys_json({"rotate", "--algorithm", algorithm});
        const auto kid = text_of(rotated, "/kid");
        // The process that signs follows within its second; tokens are good everywhere at once,
        // because a key nobody has told of is looked up.
        wait_until(
            "a token of the new key",
            [&] {
                tokens.push_back(all->where.log_in(who));
                return text_of(header_of(tokens.back()), "/kid") == kid;
            },
            5s);
        EXPECT_EQ(text_of(header_of(tokens.back()), "/alg"), algorithm);
        for (const auto& token : tokens) {
            EXPECT_EQ(read(far(), token).status, 200) << algorithm;
            EXPECT_EQ(read(near(), token).status, 200) << algorithm;
        }
        const auto shown = published(far());
        EXPECT_EQ(std::ranges::count(shown, kid), algorithm == "HS256" ? 0 : 1);
        const auto before = text_of(rotated, "/before");
        EXPECT_EQ(std::ranges::count(shown, before), 1) << "the key before verifies still";
        EXPECT_EQ(sql("select changes ->> 'algorithm' from control.audit_log where action ="
                      " 'key.rotate' and entity_id = '" +
                      kid + "'"),
                  algorithm);
    }
    EXPECT_EQ(sql("select count(*) from control.signing_key where state = 'active'"), "1");
}

TEST_F(system_keys, G14_a_revoked_key_is_refused_everywhere_tokens_that_were_remembered_included) {
    const auto who = all->where.make_person("revoke");
    const auto kid = text_of(header_of(who.token), "/kid");
    for (auto* at : {&near(), &far()}) {
        for (int connection = 0; connection < 8; ++connection) {
            ASSERT_EQ(read(*at, who.token).status, 200);
        }
    }
    const auto revoked = keys_json({"revoke", kid});
    const auto since = clock_type::now();
    refused_within_a_second(near(), who.token, since);
    refused_within_a_second(far(), who.token, since);
    EXPECT_EQ(text_of(revoked, "/was"), "active");
    const auto fresh = all->where.log_in(who);
    EXPECT_EQ(header_of(fresh).at("kid"), revoked.at("successor"));
    EXPECT_EQ(header_of(fresh).at("alg"), header_of(who.token).at("alg"));
    EXPECT_EQ(read(far(), fresh).status, 200);
    EXPECT_EQ(std::ranges::count(published(far()), kid), 0);
    EXPECT_EQ(sql("select state from control.signing_key where kid = '" + kid + "'"), "revoked");
    EXPECT_EQ(sql("select changes ->> 'was' from control.audit_log where action = 'key.revoke'"
                  " and entity_id = '" +
                  kid + "'"),
              "active");
    const auto again = keys({"revoke", kid});
    EXPECT_EQ(again.code, 0);
    EXPECT_EQ(again.out, kid + " was revoked already.\n");
    EXPECT_EQ(sql("select count(*) from control.audit_log where action = 'key.revoke' and"
                  " entity_id = '" +
                  kid + "'"),
              "1");
}

TEST_F(system_keys, a_retiring_key_is_revoked_without_touching_the_active_one) {
    const auto who = all->where.make_person("retire");
    const auto rotated = keys_json({"rotate"});
    const auto active = text_of(rotated, "/kid");
    const auto revoked = keys_json({"revoke", text_of(rotated, "/before")});
    EXPECT_EQ(text_of(revoked, "/was"), "retiring");
    EXPECT_TRUE(revoked.at("successor").is_null());
    refused_within_a_second(near(), who.token, clock_type::now());
    EXPECT_EQ(sql("select kid from control.signing_key where state = 'active'"), active);
}

TEST_F(system_keys, made_up_keys_are_refused_and_cost_a_bounded_number_of_looks) {
    const auto who = all->where.make_person("madeup");
    const auto rest = who.token.substr(who.token.find('.'));
    auto client = near().client();
    const auto looks = [&] { return metric_sum(client, "insula_feed_looks_total"); };
    const auto before = looks();
    const auto began = clock_type::now();
    const auto headers = all->where.database().query_admin(
        "select rtrim(translate(encode(convert_to('{\"alg\":\"ES256\",\"kid\":\"' ||"
        " md5(n::text) || '\",\"typ\":\"at+jwt\"}', 'utf8'), 'base64'), E'+/\\n', '-_'), '=')"
        " from generate_series(1, 100) n");
    for (const auto& header : headers) {
        const http_fields fields{{"Authorization", "Bearer " + header.front() + rest}};
        EXPECT_TRUE(is_problem(get(client, projects, fields), 401, "invalid_token"));
    }
    const std::chrono::duration<double> took = clock_type::now() - began;
    // At most 50 a second for them, and 4 a second in any case.
    EXPECT_LE(looks() - before, (took.count() + 1) * 54);
    EXPECT_EQ(read(near(), who.token).status, 200);
}

TEST_F(system_keys, the_commands_say_what_to_do_next) {
    const auto listed = keys({"list"});
    EXPECT_EQ(listed.code, 0) << listed.err;
    EXPECT_NE(listed.out.find("signs new tokens"), std::string::npos) << listed.out;
    const auto all_keys = keys_json({"list"});
    for (const auto& key : all_keys.as_array()) {
        EXPECT_FALSE(key.as_object().contains("sealed_private"));
        EXPECT_TRUE(key.as_object().contains("changed_at"));
    }
    const auto unknown = keys({"revoke", "nosuchkey"});
    EXPECT_EQ(unknown.code, 1);
    EXPECT_EQ(unknown.err,
              "insula: There is no signing key nosuchkey: insula keys list shows them.\n");
    EXPECT_EQ(keys({"rotate", "--algorithm", "none"}).code, 2);
    EXPECT_EQ(keys({"revoke"}).code, 2);
    for (const auto* name : {"list", "rotate", "revoke"}) {
        const auto help = keys({name, "--help"});
        EXPECT_EQ(help.code, 0);
        EXPECT_NE(help.out.find("--json"), std::string::npos) << help.out;
    }
    auto elsewhere = all->where.variables();
    elsewhere["INSULA_DATABASE_URL"] += "_not";
    const auto away = run_insula({"keys", "list"}, elsewhere);
    EXPECT_EQ(away.code, 1);
    EXPECT_NE(away.err.find("The database is not usable"), std::string::npos) << away.err;
}

TEST_F(system_keys, two_that_rotate_at_once_follow_one_another) {
    const auto before = std::stoi(sql("select count(*) from control.signing_key"));
    std::vector<std::unique_ptr<child_process>> rotating;
    for (int i = 0; i < 4; ++i) {
        rotating.push_back(std::make_unique<child_process>(
            insula_binary(), std::vector<std::string>{"keys", "rotate"}, all->where.variables()));
    }
    for (auto& one : rotating) {
        EXPECT_EQ(one->wait(60s), 0) << one->err();
    }
    EXPECT_EQ(std::stoi(sql("select count(*) from control.signing_key")), before + 4);
    EXPECT_EQ(sql("select count(*) from control.signing_key where state = 'active'"), "1");
}

}  // namespace
}  // namespace insula::test
