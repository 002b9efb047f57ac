// What lies between the service and PostgreSQL, and PostgreSQL itself, at their worst. Whatever it
// is: nobody waits longer than a request may take, everybody is told the truth, and when it is over
// everything works again.
//
// INSULA_TEST_FAULT_SECONDS: how long each lasts, beside its own time; 0 unless told otherwise.
#include "outage.hpp"
#include "troubles.hpp"

#include <fmt/format.h>

namespace insula::test {
namespace {

class service_outage : public testing::TestWithParam<trouble> {};

// Reads, writes, registrations in every step, and revocations are in flight all the time.
TEST_P(service_outage, G52_under_load) {
    outage one(shared_patient(), GetParam());
    one.under_load();
}

// The first one to come after it finds everything as it was.
TEST_P(service_outage, G52_while_nobody_is_there) {
    outage one(shared_patient(), GetParam());
    one.while_idle();
}

INSTANTIATE_TEST_SUITE_P(network, service_outage, testing::ValuesIn(network_troubles()), name_of);
INSTANTIATE_TEST_SUITE_P(server, service_outage, testing::ValuesIn(server_troubles()), name_of);

}  // namespace
}  // namespace insula::test
