#include "taken.hpp"

#include "insula/tenancy/tenant.hpp"

namespace insula::identity {

error taken(const pg::pg_error& failure) {
    if (failure.violates("tenant_slug_taken")) {
        return {errc::slug_taken, "Another tenant has this slug. Choose another one."};
    }
    if (failure.violates("account_email_taken")) {
        return {errc::email_taken,
                "There is an account with this e-mail address. Log in with it, or use another "
                "address."};
    }
    return tenancy::to_error(failure);
}

}  // namespace insula::identity
