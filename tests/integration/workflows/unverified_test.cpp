// A registration whose mail was never verified gives its mail and its slug back.

#include "life.hpp"

namespace insula::test {
namespace {

using testing::IsEmpty;

struct unverified : life {
    life_process process{database};

    void age(const identity::registered& who, const std::string& interval) {
        run("update control.account set created_at = now() - interval '" + interval +
            "', updated_at = now() - interval '" + interval + "' where id = '" + who.user.str() +
            "'");
    }
    void purge() {
        sql_connection worker(database.conninfo(database.roles().worker()));
        worker.query(
            "select queue.enqueue($1, 'tenant.purge_unverified', 1, 0::smallint, 0::smallint, 0,"
            " null, null, '1 day', null, null, '0', null, '{\"ttl_seconds\": 172800}')",
            {run_id::make().str()});
        process.engine().wake();
        ASSERT_TRUE(
            becomes("select count(*) from queue.history where kind ="
                    " 'tenant.purge_unverified'",
                    std::to_string(++purges_)));
        ASSERT_TRUE(becomes("select count(*) from queue.run where kind = 'tenant.delete'", "0"));
    }
    result<identity::registered> attempt(const std::string& slug) {
        return process.await(identity::register_tenant(
            process.with(), form_for(slug, slug + "@example.org"), nobody()));
    }

private:
    int purges_ = 0;
};

TEST_F(unverified, after_its_time_tenant_and_account_are_gone_and_both_names_are_free) {
    const auto who = make_ready(process, "forgotten");
    age(who, "47 hours");
    purge();
    EXPECT_EQ(status(who.tenant), "ready") << "it is not time yet";
    age(who, "49 hours");
    purge();
    EXPECT_EQ(status(who.tenant), "gone");
    EXPECT_THAT(leftovers(who.tenant), IsEmpty());
    EXPECT_EQ(sql("select count(*) from control.mail_token"), "0");
    const auto again = attempt("forgotten");
    EXPECT_TRUE(again) << again.error().describe();
}

TEST_F(unverified, who_was_verified_or_used_the_tenant_stays) {
    const auto verified = make_ready(process, "verified");
    run("update control.account set email_verified_at = now() where id = '" + verified.user.str() +
        "'");
    const auto user = make_ready(process, "used");  // while verifying was not required
    log_in(user);
    const auto shared = make_ready(process, "shared");
    run("insert into control.membership values ('" + shared.tenant.str() + "', '" +
        verified.user.str() + "', 'member', 'active')");
    for (const auto* who : {&verified, &user, &shared}) {
        age(*who, "100 days");
    }
    purge();
    for (const auto* who : {&verified, &user, &shared}) {
        EXPECT_EQ(status(who->tenant), "ready");
    }
    EXPECT_EQ(sql("select count(*) from control.account where released_at is not null"), "0");
}

TEST_F(unverified, who_tries_again_has_time_to_verify_again) {
    const auto worker = database.roles().worker();
    run("revoke execute on function provision.create_tenant_schema(uuid) from " + worker);
    const auto who = register_one(process, "late");
    ASSERT_TRUE(gets(who.tenant, "failed"));
    run("grant execute on function provision.create_tenant_schema(uuid) to " + worker);
    age(who, "49 hours");
    ASSERT_TRUE(process.await(
        identity::retry_registration(process.with(), who.registration_id.view(), nobody())));
    ASSERT_TRUE(gets(who.tenant, "ready"));
    purge();
    EXPECT_EQ(status(who.tenant), "ready");
    age(who, "49 hours");
    purge();
    EXPECT_EQ(status(who.tenant), "gone");
}

TEST_F(unverified, many_are_purged_in_one_go_and_an_account_without_a_tenant_as_well) {
    std::vector<identity::registered> all;
    for (int i = 0; i < 60; ++i) {  // more than a batch
        all.push_back(register_one(process, "many" + std::to_string(i)));
    }
    ASSERT_TRUE(becomes("select count(*) from control.tenant where status = 'ready'", "60"));
    make_operator();
    const auto by = identity::actor::command_line();
    ASSERT_TRUE(process.await(
        identity::delete_tenant(process.with(), by, all.front().tenant, true, nobody())));
    ASSERT_TRUE(gets(all.front().tenant, "gone"));
    EXPECT_FALSE(attempt("many0")) << "its account is still there";
    run("update control.account set created_at = now() - interval '3 days',"
        " updated_at = now() - interval '3 days'");
    run("update control.account set email_verified_at = null where operator");
    purge();
    EXPECT_EQ(sql("select count(*) from control.tenant where status = 'gone'"), "60");
    EXPECT_EQ(sql("select count(*) from control.account where released_at is null"), "1")
        << "the operator";
    EXPECT_TRUE(attempt("many0"));
}

}  // namespace
}  // namespace insula::test
