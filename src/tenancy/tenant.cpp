#include "insula/tenancy/tenant.hpp"

#include <array>
#include <stdexcept>
#include <string>

namespace insula::tenancy {
namespace {

constexpr std::array<std::string_view, 7> status_names{
    "provisioning", "ready", "failed", "suspended", "pending_deletion", "deleting", "gone"};

}  // namespace

std::string_view name(tenant_status status) noexcept {
    return status_names[static_cast<std::size_t>(status)];
}

tenant_status parse_tenant_status(std::string_view text) {
    for (std::size_t i = 0; i < status_names.size(); ++i) {
        if (status_names[i] == text) {
            return static_cast<tenant_status>(i);
        }
    }
    throw std::logic_error("unknown tenant status " + std::string(text));
}

error to_error(const pg::pg_error& failure) {
    if (failure.state == session_over) {
        return {errc::invalid_token, "The session is over; log in again.", failure.message};
    }
    if (failure.state == write_to_suspended) {
        return {errc::tenant_suspended, "The tenant is suspended.", failure.message};
    }
    if (failure.state == write_to_pending_deletion) {
        return {errc::tenant_pending_deletion, "The tenant is about to be deleted.",
                failure.message};
    }
    if (failure.state == write_to_not_ready) {
        return {errc::tenant_not_ready, "The tenant is not ready.", failure.message};
    }
    if (failure.state == not_allowed) {
        return {errc::forbidden, "You may not do that.", failure.message};
    }
    if (failure.state == no_such_tenant) {
        return {errc::not_found, "There is no such tenant.", failure.message};
    }
    if (failure.state == wrong_tenant_status) {
        // Our own raises put the state, and nothing else, into the error's detail.
        return {errc::conflict, "The tenant is " + failure.detail + ".", failure.message};
    }
    return pg::to_error(failure);
}

}  // namespace insula::tenancy
