// Every change has its audit row, in its own transaction; and every action of the API's list is
// written by something.
#include "audited_acts.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace insula::test {
namespace {

/// The list of API.md, "Audited actions".
const std::set<std::string> promised_actions{
    "user.register",      "user.login",      "user.login_failed", "user.logout",
    "token.reuse",        "password.change", "password.reset",    "tenant.create",
    "tenant.update",      "tenant.suspend",  "tenant.resume",     "tenant.delete",
    "tenant.restore",     "member.invite",   "member.join",       "member.remove",
    "member.role_change", "user.update",     "user.email_verify", "identity.assume",
    "identity.end",       "project.create",  "project.update",    "project.delete"};

class system_audited_acts : public testing::Test {
protected:
    static void SetUpTestSuite() {
        where_ = std::make_unique<deployment>();
        // Inserts of one action fail while it is listed here, as on a disk that is full.
        where_->database().query_admin(
            "create schema refusing; create table refusing.action (action text);"
            "create function refusing.refuse() returns trigger language plpgsql security definer "
            "set search_path = pg_catalog as $$ begin if exists (select from refusing.action r "
            "where r.action = new.action) then raise exception using errcode = '53100', message = "
            "'no space left for ' || new.action; end if; return new; end $$;"
            "create trigger refuse before insert on control.audit_log for each row execute "
            "function refusing.refuse()");
    }
    static void TearDownTestSuite() { where_.reset(); }

    static std::string value(const std::string& sql) { return where_->database().value_admin(sql); }
    static void refuse(const std::string& action) {
        where_->database().query_admin("insert into refusing.action values ($1)", {action});
    }
    static void refuse_nothing() { where_->database().query_admin("delete from refusing.action"); }
    static void settle() {
        wait_until("the tasks to be done", [] {
            return value("select count(*) from queue.run where state in (0, 1)") == "0";
        });
    }
    /// Everything there is but the log: rows of the control plane and of every tenant, tasks.
    static std::string everything() {
        return value(
            "select md5(string_agg(query_to_xml(format('select x::text from %I.%I x order by "
            "x::text', schemaname, tablename), true, false, '')::text, '' order by schemaname, "
            "tablename)) || (select count(*) from (select id from queue.run union all select id "
            "from queue.history) r) from pg_tables where (schemaname = 'control' and tablename not "
            "in ('audit_log', 'migration') and tablename not like 'feed%') or schemaname like "
            "'t\\_%'");
    }
    /// The rows that a request has left.
    static rows rows_of(const std::string& request) {
        return where_->database().query_admin(
            "select action, coalesce(user_id::text, 'none'), coalesce(tenant_id::text, 'none'), "
            "coalesce(operator_user_id::text, 'none'), status, coalesce(ip, ''), entity_type, "
            "entity_id from control.audit_log where request_id = $1",
            {request});
    }
    static std::string fresh_request() {
        static int count = 0;
        return "audited-" + std::to_string(++count);
    }
    /// Done, and its row says who did it.
    static void expect_row(const audited_act& act, const prepared_act& ready, stage& s,
                           bool as_operator) {
        const auto request = fresh_request();
        const auto answer = ready.run({{"X-Request-ID", request}});
        EXPECT_EQ(answer.status, ready.status) << answer.text();
        auto found = rows_of(request);
        if (act.action == "member.join") {  // an account is made or its address verified along
            std::erase_if(found, [](const auto& row) {
                return row[0] == "user.email_verify" || row[0] == "user.register";
            });
        }
        ASSERT_EQ(found.size(), 1U) << "rows of one change";
        const auto& row = found.front();
        EXPECT_EQ(row[0], act.action);
        EXPECT_EQ(row[4], act.result);
        EXPECT_EQ(row[5], "127.0.0.1");
        EXPECT_NE(row[6], "") << "no entity_type";
        EXPECT_EQ(row[3], as_operator ? s.operator_id() : "none");
        if (!ready.user.empty()) {
            EXPECT_EQ(row[1], ready.user);
        }
        if (!ready.tenant.empty()) {
            EXPECT_EQ(row[2], ready.tenant);
        }
    }

    static inline std::unique_ptr<deployment> where_;
};

TEST_F(system_audited_acts, the_table_has_every_action_and_every_route_that_changes) {
    std::set<std::string> actions;
    std::set<std::string> operations;
    for (const auto& act : audited_acts()) {
        if (!act.action.starts_with("task.")) {
            actions.insert(act.action);
        }
        operations.insert(act.method + " " + act.path);
    }
    EXPECT_EQ(actions, promised_actions);
    for (const auto& [operation, why] : unaudited_operations()) {
        EXPECT_TRUE(operations.insert(operation).second) << operation << " is audited";
    }
    std::set<std::string> offered;
    auto client = where_->server().client();
    const auto document = parse(get(client, "/openapi.json"));
    for (const auto& path : document.at("paths").as_object()) {
        for (const auto& operation : path.value().as_object()) {
            const std::string method(operation.key());
            if (method == "post" || method == "patch" || method == "put" || method == "delete") {
                offered.insert(method + " " + std::string(path.key()));
            }
        }
    }
    EXPECT_EQ(operations, offered)
        << "a route that changes something needs an entry in audited_acts.cpp";
}

TEST_F(system_audited_acts, the_operations_page_names_them_all) {
    std::ifstream file(std::filesystem::path(INSULA_README).parent_path() / "docs/operations.md");
    std::ostringstream text;
    text << file.rdbuf();
    for (const auto& act : audited_acts()) {
        EXPECT_NE(text.str().find("`" + act.action + "`"), std::string::npos) << act.action;
    }
}

TEST_F(system_audited_acts, G44_a_change_and_its_audit_row_are_one) {
    stage s(*where_, false);
    for (const auto& act : audited_acts()) {
        SCOPED_TRACE(act.action + ": " + act.method + " " + act.path);
        const auto ready = act.prepare(s);
        const bool as_operator = act.by == act_of::operator_ || act.by == act_of::assumed;
        if (act.changes) {
            settle();
            const auto request = fresh_request();
            const auto before = everything();
            refuse(act.action);
            const auto answer = ready.run({{"X-Request-ID", request}});
            refuse_nothing();
            EXPECT_GE(answer.status, 500) << answer.text();
            EXPECT_EQ(everything(), before) << "changed without its audit row";
            EXPECT_TRUE(rows_of(request).empty());
        } else {
            refuse(act.action);
            const auto answer = ready.run({});
            refuse_nothing();
            EXPECT_EQ(answer.status, ready.status) << answer.text();
        }
        expect_row(act, ready, s, as_operator);
    }
}

TEST_F(system_audited_acts, under_an_assumed_identity_every_row_names_both) {
    stage s(*where_, true);
    for (const auto& act : audited_acts()) {
        SCOPED_TRACE(act.action + ": " + act.method + " " + act.path);
        if (act.by == act_of::member) {
            expect_row(act, act.prepare(s), s, true);
        } else if (act.by == act_of::own) {
            const auto ready = act.prepare(s);
            settle();
            const auto request = fresh_request();
            const auto before = everything();
            EXPECT_TRUE(is_problem(ready.run({{"X-Request-ID", request}}), 403, "forbidden"));
            EXPECT_EQ(everything(), before);
            EXPECT_TRUE(rows_of(request).empty());
        }
    }
}

}  // namespace
}  // namespace insula::test
