// What lies between the service and PostgreSQL, and PostgreSQL itself, at their worst. Whatever it
// is: nobody waits longer than a request may take, everybody is told the truth, and when it is over
// everything works again.
//
// INSULA_TEST_FAULT_SECONDS: how long each lasts, beside its own time. When it is set, 0 too, every
// one comes, and each also while nobody is there; otherwise those that resemble another are left
// out.
//
// INSULA_TEST_FAULT_ROUNDS: how often one of them comes in a row, to see what each leaves behind; 3
// unless told otherwise.
#include "support/sanitizers.hpp"
#include "troubles.hpp"

#include <algorithm>
#include <cstdlib>

namespace insula::test {
namespace {

bool in_full() {
    return std::getenv("INSULA_TEST_FAULT_SECONDS") != nullptr;
}

/// Those named, or those not named.
std::vector<trouble> pick(std::vector<trouble> all, const std::vector<std::string>& names,
                          bool named) {
    std::erase_if(all, [&](const trouble& one) {
        return (std::ranges::find(names, one.name) != names.end()) != named;
    });
    return all;
}

std::vector<trouble> for_everybody(std::vector<trouble> all) {
    return in_full() ? all
                     : pick(std::move(all),
                            {"questions_are_lost", "answers_are_lost", "reset_in_a_question",
                             "half_closed_to_the_server", "half_closed_to_the_service",
                             "single_bytes", "slow_path", "stopped", "stopped_at_once", "restarted",
                             "sessions_ended", "frozen", "table_held", "recovering"},
                            false);
}

std::vector<trouble> for_nobody() {
    auto all = network_troubles();
    const auto more = server_troubles();
    all.insert(all.end(), more.begin(), more.end());
    std::erase_if(all, [](const trouble& one) { return !one.for_nobody; });
    return in_full()
               ? all
               : pick(std::move(all),
                      {"nobody_listens", "old_connections_hang", "restarted", "read_only"}, true);
}

class service_busy : public testing::TestWithParam<trouble> {};
class service_idle : public testing::TestWithParam<trouble> {};

// Reads, writes, registrations in every step, and revocations are in flight all the time.
TEST_P(service_busy, G52_everybody_is_told_the_truth_in_time_and_everything_is_back) {
    outage one(shared_patient(), GetParam());
    one.under_load();
}

TEST_P(service_idle, G52_the_first_to_come_after_it_finds_everything_as_it_was) {
    outage one(shared_patient(), GetParam());
    one.while_idle();
}

unsigned rounds() {
    const char* asked = std::getenv("INSULA_TEST_FAULT_ROUNDS");
    return asked == nullptr ? 3 : static_cast<unsigned>(std::strtoul(asked, nullptr, 10));
}

// What one outage leaves behind may hide in what a process holds anyway; what each leaves does not.
TEST(service_holdings, G52_one_outage_after_the_other_leaves_nothing_behind) {
    patient& who = shared_patient();
    auto each = pick(network_troubles(), {"reset_in_a_result"}, true).front();
    outage(who, each).under_load();
    const auto first = holdings_of(who.service().process().pid());
    for (unsigned round = 1; round < rounds(); ++round) {
        outage(who, each).under_load();
    }
    const auto last = holdings_of(who.service().process().pid());
    EXPECT_LE(last.descriptors, first.descriptors + patient::connections);
    EXPECT_LE(last.resident_kb, first.resident_kb + rounds() * 2048UL * sanitizers_factor);
}

// The path of a transaction that dies tells PostgreSQL nothing: its locks end with it all the same.
TEST(service_logins, G52_a_forgotten_transaction_ends_within_a_minute) {
    patient& who = shared_patient();
    for (const char* login : {"_app", "_worker", "_cell_0", "_cell_1"}) {
        sql_connection session(
            who.database().conninfo(who.database().role_prefix() + std::string(login)));
        EXPECT_EQ(session.query("show idle_in_transaction_session_timeout")[0][0], "1min") << login;
        // On a socket of this machine these are not used.
        for (const auto& [name, seconds] :
             {std::pair{"idle", "30"}, std::pair{"interval", "10"}, std::pair{"count", "3"}}) {
            EXPECT_EQ(session.query(std::string("select reset_val from pg_settings where name ="
                                                " 'tcp_keepalives_") +
                                    name + "'")[0][0],
                      seconds)
                << login;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(network, service_busy,
                         testing::ValuesIn(for_everybody(network_troubles())), name_of);
INSTANTIATE_TEST_SUITE_P(server, service_busy, testing::ValuesIn(for_everybody(server_troubles())),
                         name_of);
INSTANTIATE_TEST_SUITE_P(any, service_idle, testing::ValuesIn(for_nobody()), name_of);

}  // namespace
}  // namespace insula::test
