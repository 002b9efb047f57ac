// The tables of what can go wrong between the service and PostgreSQL, and with PostgreSQL.
#pragma once

#include "outage.hpp"

namespace insula::test {

std::vector<trouble> network_troubles();
std::vector<trouble> server_troubles();

}  // namespace insula::test
