// The attempts on a server that ends whoever waits, and what an attempt may not do even when it is
// allowed.

#include "verify_fixture.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using tenancy::severity;

struct verify_more_probes : verify_isolation {
    /// Backends of the cells that are in the middle of a transaction and wait: B's session.
    std::string neighbours() {
        return admin(
            expand("select count(*) from pg_stat_activity where usename ~"
                   " '^{prefix}_cell_' and state = 'idle in transaction'"));
    }
};

TEST_F(verify_more_probes, a_server_that_ends_who_waits_in_a_transaction_is_as_isolated_as_others) {
    as_admin(
        expand("alter role {prefix}_cell_0 set idle_in_transaction_session_timeout = '1s';"
               "alter role {prefix}_cell_1 set idle_in_transaction_session_timeout = '1s'"));
    bool waited = false;
    const auto report = probe([&] {
        if (!waited && neighbours() == "1") {
            waited = true;
            // Longer than the server lets anybody wait, who has not said that he will.
            const auto until = std::chrono::steady_clock::now() + 1500ms;
            while (neighbours() == "1" && std::chrono::steady_clock::now() < until) {
                std::this_thread::yield();
            }
        }
        return false;
    });
    as_admin(
        expand("alter role {prefix}_cell_0 reset idle_in_transaction_session_timeout;"
               "alter role {prefix}_cell_1 reset idle_in_transaction_session_timeout"));
    EXPECT_TRUE(waited);
    EXPECT_TRUE(report.isolated()) << describe(report);
}

TEST_F(verify_more_probes, a_neighbour_that_somebody_else_has_ended_accuses_nobody) {
    bool ended = false;
    const auto report = probe([&] {
        if (!ended && neighbours() == "1") {
            ended = true;
            as_admin(
                expand("select pg_terminate_backend(pid, 5000) from pg_stat_activity where"
                       " usename ~ '^{prefix}_cell_' and state = 'idle in transaction'"));
        }
        return false;
    });
    EXPECT_TRUE(ended);
    EXPECT_EQ(report.count(severity::danger), 0) << describe(report);
    // But what was to be tried on it was not.
    EXPECT_FALSE(report.isolated());
    for (const auto* check : {"probe_other_cell", "probe_server"}) {
        const auto found =
            std::ranges::find(report.checks, std::string(check), &tenancy::isolation_check::name);
        ASSERT_NE(found, report.checks.end());
        EXPECT_NE(found->trouble.find("has ended"), std::string::npos) << check;
    }
}

TEST_F(verify_more_probes, what_no_rollback_takes_back_is_asked_and_not_done) {
    const auto loaded = admin("select pg_conf_load_time()");
    const auto sequences = [this] {
        return admin(
            "select coalesce(string_agg(schemaname || sequencename || last_value, ',' order by 1),"
            " '') from pg_sequences where schemaname in ('control', 'queue')");
    };
    as_admin(
        expand("create sequence control.planted; select nextval('control.planted');"
               "grant usage on schema control to {prefix}_cell_0, {prefix}_cell_1;"
               "grant all on sequence control.planted to {prefix}_cell_0, {prefix}_cell_1;"
               "grant execute on function pg_reload_conf(), pg_advisory_lock(bigint) to public"));
    const auto before = sequences();
    const auto report = probe();
    EXPECT_EQ(sequences(), before);
    EXPECT_EQ(admin("select pg_conf_load_time()"), loaded);
    as_admin("drop sequence control.planted;" +
             expand("revoke usage on schema control from {prefix}_cell_0, {prefix}_cell_1;"
                    "revoke execute on function pg_reload_conf(), pg_advisory_lock(bigint) from"
                    " public"));
    std::string said;
    for (const auto& check : report.checks) {
        for (const auto& some : check.findings) {
            said += some.what + "\n";
        }
    }
    for (const auto* word :
         {"pg_reload_conf", "pg_advisory_lock(bigint)", "has_sequence_privilege"}) {
        EXPECT_NE(said.find(word), std::string::npos) << word << " in\n" << describe(report);
    }
}

}  // namespace
}  // namespace insula::test
