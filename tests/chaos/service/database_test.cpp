// What lies between the service and PostgreSQL, and PostgreSQL itself, at their worst. Whatever it
// is: nobody waits longer than a request may take, everybody is told the truth, and when it is over
// everything works again.
//
// INSULA_TEST_FAULT_SECONDS: how long each lasts, beside its own time. When it is set, 0 too, every
// one comes, and each also while nobody is there; otherwise those that resemble another are left
// out.
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
                             "half_closed_to_the_service", "slow_path", "stopped_at_once",
                             "sessions_ended", "table_held", "recovering"},
                            false);
}

std::vector<trouble> for_nobody() {
    auto all = network_troubles();
    const auto more = server_troubles();
    all.insert(all.end(), more.begin(), more.end());
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

INSTANTIATE_TEST_SUITE_P(network, service_busy,
                         testing::ValuesIn(for_everybody(network_troubles())), name_of);
INSTANTIATE_TEST_SUITE_P(server, service_busy, testing::ValuesIn(for_everybody(server_troubles())),
                         name_of);
INSTANTIATE_TEST_SUITE_P(any, service_idle, testing::ValuesIn(for_nobody()), name_of);

}  // namespace
}  // namespace insula::test
