// Everything that can be done to a tenant, at the same time, by two processes (G34).

#include "life.hpp"
#include "trouble.hpp"

#include <fmt/format.h>

#include <future>
#include <random>

namespace insula::test {
namespace {

using identity::actor;
using testing::IsEmpty;

struct race : life {
    trouble failing{database.raw()};
    life_process first{database, quick_engine(), 0s};
    life_process second{database, quick_engine(), 0s};

    life_process& either(std::mt19937& random) { return random() % 2 == 0 ? first : second; }

    /// One act of an operator on one of the tenants; true when it was possible just then.
    bool act(std::mt19937& random, tenant_id tenant) {
        auto& in = either(random);
        const auto by = actor::command_line();
        switch (random() % 7) {
            case 0:
                return ok(in, identity::suspend_tenant(in.with(), by, tenant, nobody()));
            case 1:
                return ok(in, identity::resume_tenant(in.with(), by, tenant, nobody()));
            case 2:
                return ok(in, identity::delete_tenant(in.with(), by, tenant, false, nobody()));
            case 3:
                return ok(in, identity::delete_tenant(in.with(), by, tenant, true, nobody()));
            case 4:
            case 5:
                return ok(in, identity::restore_tenant(in.with(), by, tenant, nobody()));
            default:
                return ok(in, identity::retry_tenant(in.with(), by, tenant, nobody()));
        }
    }
    static bool ok(life_process& in, runtime::awaitable<result<identity::tenant_record>> what) {
        const auto done = in.await(std::move(what));
        if (!done && done.error() != errc::conflict && done.error() != errc::not_failed) {
            ADD_FAILURE() << done.error().describe();
        }
        return done.has_value();
    }
    /// Of two runs of one tenant, one had ended before the other did its first step.
    void expect_no_overlap() {
        EXPECT_EQ(sql("with span as (select h.id, h.tenant, min(s.at) as since, h.finished_at as"
                      " until from queue.history h join queue.step s on s.run = h.id"
                      " group by h.id, h.tenant, h.finished_at)"
                      " select count(*) from span a join span b on a.tenant = b.tenant and a.id <"
                      " b.id and tstzrange(a.since, a.until) && tstzrange(b.since, b.until)"),
                  "0");
    }
    void expect_consistent(tenant_id tenant, const rows& expected) {
        const auto now = status(tenant);
        SCOPED_TRACE(tenant.str() + " is " + now);
        if (now == "ready" || now == "suspended") {
            EXPECT_EQ(fingerprint(tenant), expected);
        } else if (now == "gone") {
            EXPECT_THAT(leftovers(tenant), IsEmpty());
        } else {
            EXPECT_EQ(now, "failed");
            EXPECT_THAT(fingerprint(tenant), IsEmpty());
        }
    }
};

TEST_F(race, G34_provisioning_deletion_suspension_and_restore_of_one_tenant_never_interleave) {
    const char* given = std::getenv("INSULA_RACE_SEED");
    const unsigned seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                           : std::random_device()();
    std::printf("INSULA_RACE_SEED=%u\n", seed);
    const auto expected = fingerprint(make_ready(first, "smooth").tenant);
    // Every change of state is written down, to see that each of the kinds took part.
    run("create table trouble.seen (status text);"
        "create function trouble.see() returns trigger language plpgsql security definer as"
        " $$ begin insert into trouble.seen values (new.status); return null; end $$;"
        "grant execute on function trouble.see() to public;"
        "create trigger see after update of status on control.tenant for each row"
        " execute function trouble.see()");
    failing.at("owner", lasting, 20);
    std::vector<tenant_id> tenants;
    for (int i = 0; i < 24; ++i) {
        tenants.push_back(register_one(i % 2 == 0 ? first : second, fmt::format("t{}", i)).tenant);
    }
    std::vector<std::future<int>> actors;
    for (unsigned a = 0; a < 4; ++a) {
        actors.push_back(std::async(std::launch::async, [&, a] {
            std::mt19937 random(seed + a);
            int possible = 0;
            for (int i = 0; i < 200; ++i) {
                possible += act(random, tenants[random() % tenants.size()]) ? 1 : 0;
            }
            return possible;
        }));
    }
    int possible = 0;
    for (auto& one : actors) {
        possible += one.get();
    }
    ASSERT_TRUE(becomes("select count(*) from queue.run", "0", 30s));
    for (const auto tenant : tenants) {
        expect_consistent(tenant, expected);
    }
    expect_no_overlap();
    EXPECT_THAT(queue_violations(database.raw()), IsEmpty());
    EXPECT_GT(possible, 20);
    EXPECT_GT(std::stoi(sql("select count(distinct status) from trouble.seen")), 5)
        << "not all kinds of change took part";
}

TEST_F(race, G34_a_restore_at_the_very_time_of_the_purge_is_the_first_or_refused) {
    for (int i = 0; i < 12; ++i) {
        const auto who = make_ready(first, fmt::format("edge{}", i));
        const auto by = actor::command_line();
        ASSERT_TRUE(
            ok(first, identity::delete_tenant(first.with(), by, who.tenant, i % 2 == 0, nobody())));
        const bool restored =
            ok(second, identity::restore_tenant(second.with(), by, who.tenant, nobody()));
        if (restored) {
            ASSERT_TRUE(becomes("select count(*) from queue.run", "0"));
            EXPECT_EQ(status(who.tenant), "ready");
            EXPECT_FALSE(fingerprint(who.tenant).empty());
        } else {
            ASSERT_TRUE(gets(who.tenant, "gone"));
        }
    }
}

}  // namespace
}  // namespace insula::test
