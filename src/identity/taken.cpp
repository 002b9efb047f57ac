#include "taken.hpp"

#include "insula/tenancy/tenant.hpp"

namespace insula::identity {

error taken(const pg::pg_error& failure) {
    if (failure.violates("tenant_slug_taken")) {
        return {errc::slug_taken, "Another tenant has this slug. Choose another one."};
    }
    if (failure.violates("account_email_taken")) {
        return {
            errc::email_taken,
            "There is an account with this e-mail address: log in with it. If the log-in fails, "
            "choose a new password (POST /api/v1/auth/forgot-password); if you belong to no "
            "tenant any more, ask to be invited to one; or use another address."};
    }
    return tenancy::to_error(failure);
}

}  // namespace insula::identity
