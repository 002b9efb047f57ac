// What the service follows while it runs: the revocation feed, and with it the signing keys.

#include "instance_state.hpp"

#include "insula/identity/key_store.hpp"
#include "insula/observe/log.hpp"

#include <algorithm>

namespace insula::app {
namespace {

constexpr std::chrono::seconds first_look{2};

bool same_keys(const std::shared_ptr<const token::key_set>& have, const token::key_set& read) {
    return std::ranges::equal(have->entries(), read.entries(), [](const auto& a, const auto& b) {
        return a.value.kid() == b.value.kid() && a.state == b.state;
    });
}

}  // namespace

runtime::awaitable<bool> instance::state::reload_keys(runtime::deadline until) {
    auto read = co_await identity::read_signing_keys(db.control, keys, until);
    const bool good = read && (*read)->signing() != nullptr;
    if (good && same_keys(tokens->latest(), **read)) {
        keys_complaint.clear();  // and verdicts that are remembered stay good
    } else if (good) {
        tokens->use(*read);
        const auto& signing = *(*read)->signing();
        observe::info("signing keys",
                      {{"active", signing.value.kid()}, {"known", (*read)->entries().size()}});
        keys_complaint.clear();
    } else if (const auto why = read ? "there is no active key" : read.error().describe();
               std::exchange(keys_complaint, why) != why) {
        observe::error("signing keys", {{"reason", why}});
    }
    co_return good;
}

runtime::awaitable<void> instance::state::follow_revocations(runtime::deadline until) {
    const auto soon = until.sooner(runtime::deadline::after(first_look));
    if (!co_await revoked.start([this](runtime::deadline d) { return reload_keys(d); }, soon)) {
        observe::warn("the revocation feed is not heard yet: the database decides every request");
    }
}

}  // namespace insula::app
