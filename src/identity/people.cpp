#include "people.hpp"

#include "taken.hpp"

#include "insula/tenancy/tenant.hpp"

namespace insula::identity {

error no_such_member() {
    return {errc::not_found, "There is no member with this id in your tenant."};
}

error no_such_invite() {
    return {errc::not_found, "There is no pending invitation with this id in your tenant."};
}

error no_such_invitation() {
    return {errc::not_found,
            "The invitation is unknown, expired or withdrawn, or its mail was sent again. Look for "
            "the latest mail, or ask to be invited again."};
}

error invite_accepted() {
    return {errc::conflict, "The invitation has been accepted already; log in."};
}

error not_for_you() {
    return {errc::forbidden,
            "The invitation is for another account: log in with the address it was sent to."};
}

error wrong_password() {
    return {errc::invalid_credentials, "The password of this address's account is wrong."};
}

error refused_people(const pg::pg_error& failure, error nobody) {
    if (failure.state == last_owner_state) {
        return {errc::last_owner,
                "A tenant always has an owner: make somebody else an owner first."};
    }
    if (failure.state == already_member_state) {
        return {errc::already_member, "This address is a member's already."};
    }
    if (failure.violates("invite_pending")) {
        return {errc::invite_pending,
                "This address is invited already: have the mail sent again, or withdraw that "
                "invitation first."};
    }
    if (failure.state == invite_accepted_state) {
        return invite_accepted();
    }
    if (failure.state == other_version_state) {
        return {errc::precondition_failed, "The member has changed since; read it again."};
    }
    if (failure.state == assumed_state) {
        return {errc::forbidden,
                "Not with an assumed identity: who owns a tenant is for its owners to decide, and "
                "leaving it for the person."};
    }
    if (failure.state == nobody_state) {
        return nobody;
    }
    if (failure.state == tenancy::not_allowed) {
        return {errc::forbidden,
                "Your role in the tenant does not allow this; only an owner makes, invites or "
                "removes owners.",
                failure.message};
    }
    return taken(failure);
}

}  // namespace insula::identity
