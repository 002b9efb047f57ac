// Slugs and mail addresses that are used a second time: whose they are then, and who is let in.

#include "life.hpp"

#include "insula/identity/key_store.hpp"
#include "insula/identity/login.hpp"

namespace insula::test {
namespace {

using identity::actor;

struct second_use : life {
    life_process process{database};

    result<std::string> slug_logged_in_to(const std::string& email,
                                          std::optional<std::string> slug = {}) {
        const auto keys = process.await(
            identity::load_signing_keys(process.pools().control, process.with().keys,
                                        token::algorithm::es256, runtime::deadline::after(20s)));
        runtime::loop* const loops[] = {&process.loop()};
        identity::token_service tokens(loops, {"https://insula.test", "https://insula.test"},
                                       keys.value());
        const identity::login_form form{
            .email = *email_address::parse(email),
            .password = *password_attempt::parse("correct horse battery staple 42"),
            .tenant_slug = std::move(slug)};
        const auto in = process.await(identity::log_in(process.with(), tokens, form, nobody()));
        if (!in) {
            return in.error();
        }
        return in->tenant->slug + " " + in->tenant->id.str();
    }
    result<identity::created_tenant> create(const token::claims& owner, const std::string& slug) {
        return process.await(identity::create_tenant(
            process.with(), owner,
            {*insula::tenant_name::parse("Another"), *insula::slug::parse(slug)}, nobody()));
    }
    void provisioning(bool works) {
        run(std::string(works ? "grant" : "revoke") +
            " execute on function provision.create_tenant_schema(uuid) " +
            (works ? "to " : "from ") + database.roles().worker());
    }
    tenant_id create_failed(const token::claims& owner, const std::string& slug) {
        provisioning(false);
        const auto made = create(owner, slug).value();
        EXPECT_TRUE(gets(made.tenant, "failed"));
        provisioning(true);
        return made.tenant;
    }
    void verify(const identity::registered& who) {
        run("update control.account set email_verified_at = now() where id = '" + who.user.str() +
            "'");
    }
    /// What the purge of unverified registrations does to one, but for the run that deletes.
    void forget(const identity::registered& who) {
        sql_connection worker(database.conninfo(database.roles().worker()));
        worker.query("begin");
        worker.query("select control.request_deletion($1, $2, '0', true)",
                     {who.tenant.str(), run_id::make().str()});
        worker.query("select control.release_account($1)", {who.user.str()});
        worker.query("commit");
    }
    result<identity::tenant_record> restore(tenant_id tenant) {
        return process.await(
            identity::restore_tenant(process.with(), actor::command_line(), tenant, nobody()));
    }
};

TEST_F(second_use, of_two_tenants_with_one_slug_its_holder_is_logged_in_to) {
    const auto who = make_ready(process, "first");
    verify(who);
    const auto owner = log_in(who);
    create_failed(owner, "twice");
    const auto held = create(owner, "twice").value();
    ASSERT_TRUE(gets(held.tenant, "ready"));
    create_failed(owner, "other");
    const auto in = slug_logged_in_to("first@example.org", "twice");
    ASSERT_TRUE(in) << in.error().describe();
    EXPECT_EQ(*in, "twice " + held.tenant.str());
    const auto unsure = slug_logged_in_to("first@example.org");
    ASSERT_FALSE(unsure);
    const std::string list(unsure.error().extension());
    EXPECT_EQ(list.find("twice"), list.rfind("twice")) << list;
    const auto failed = slug_logged_in_to("first@example.org", "other");
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), errc::tenant_not_ready);
}

TEST_F(second_use, the_owner_of_a_failed_tenant_that_is_deleted_is_told_so) {
    const auto who = make_ready(process, "first");
    verify(who);
    const auto failed = create_failed(log_in(who), "second");
    ASSERT_TRUE(process.await(
        identity::delete_tenant(process.with(), actor::command_line(), failed, false, nobody())));
    const auto refused = slug_logged_in_to("first@example.org", "second");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), errc::tenant_pending_deletion) << refused.error().describe();
}

TEST_F(second_use, commands_find_the_tenant_that_holds_the_slug) {
    const auto owner = log_in(make_ready(process, "first"));
    const auto older = create_failed(owner, "twice");
    const auto newer = create_failed(owner, "twice");
    const auto by = actor::command_line();
    ASSERT_TRUE(
        process.await(identity::retry_tenant(process.with(), by, older, nobody())).has_value());
    ASSERT_TRUE(gets(older, "ready"));
    ASSERT_TRUE(process.await(identity::delete_tenant(process.with(), by, newer, false, nobody())));
    const auto found = process.await(
        identity::find_tenant(process.with(), by, "twice", runtime::deadline::after(20s)));
    ASSERT_TRUE(found) << found.error().describe();
    EXPECT_EQ(*found, older) << "the one that waits for its purge has no slug any more";
}

TEST_F(second_use, a_forgotten_registration_that_is_restored_has_its_owner_again) {
    const auto who = make_ready(process, "forgotten");
    forget(who);
    const auto restored = restore(who.tenant);
    ASSERT_TRUE(restored) << restored.error().describe();
    EXPECT_EQ(status(who.tenant), "ready");
    EXPECT_EQ(
        sql("select released_at is null from control.account where id = '" + who.user.str() + "'"),
        "t");
    verify(who);
    EXPECT_TRUE(slug_logged_in_to("forgotten@example.org"));
}

TEST_F(second_use, or_it_is_not_restored_because_somebody_else_has_the_address) {
    const auto who = make_ready(process, "forgotten");
    forget(who);
    register_one(process, "another", "forgotten@example.org");
    const auto refused = restore(who.tenant);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), errc::email_taken) << refused.error().describe();
    EXPECT_EQ(status(who.tenant), "pending_deletion");
}

}  // namespace
}  // namespace insula::test
