#include "insula/tenancy/revocations.hpp"

namespace insula::tenancy {

struct revocations::state {};

revocations::revocations(runtime::loop&, revocations_options, pg::connection_budget&,
                         observe::metrics&, runtime::cpu_pool*)
    : state_(std::make_shared<state>()) {}

revocations::~revocations() = default;

runtime::awaitable<bool> revocations::start(key_reload, runtime::deadline) {
    co_return true;
}

runtime::awaitable<void> revocations::stop() {
    co_return;
}

verdict revocations::check(const token::claims&) const {
    return verdict::good;
}

bool revocations::silent() const noexcept {
    return true;
}

runtime::awaitable<void> revocations::catch_up(runtime::deadline) {
    co_return;
}

runtime::awaitable<bool> revocations::look_again(runtime::deadline) {
    co_return false;
}

std::size_t revocations::entries() const {
    return 0;
}

}  // namespace insula::tenancy
