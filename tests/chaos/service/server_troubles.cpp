#include "troubles.hpp"

namespace insula::test {

std::vector<trouble> server_troubles() {
    return {{.name = "stopped",
             .begin = [](patient& who) { who.server().stop_server(); },
             .end = [](patient& who) { who.server().start_server(); },
             .lasts = 1200ms,
             .total = true}};
}

}  // namespace insula::test
