#include "insula/identity/operators.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement add_operator{"operators.create",
                                     "insert into control.account (id, email, email_canonical, "
                                     "full_name, password_hash, email_verified_at, operator)"
                                     " values ($1, $2, $3, 'Operator', $4, now(), true)"};

}  // namespace

runtime::awaitable<result<user_id>> create_operator(pg::pool& control,
                                                    const password_hasher& hasher,
                                                    const email_address& email,
                                                    const password_text& password,
                                                    runtime::deadline until) {
    if (const auto problem = check_new_password(password.view(), email.str())) {
        co_return error::validation("/password", problem->code, problem->detail);
    }
    const auto id = user_id::make();
    pg::unit work;
    work.add(add_operator, id, email.str(), email.canonical(), hasher.hash(password.view()));
    const auto added = co_await control.run(std::move(work), until);
    if (!added) {
        if (added.error().violates("account_email_taken")) {
            co_return error(errc::email_taken,
                            "There is an account with this e-mail address already.");
        }
        co_return pg::to_error(added.error());
    }
    co_return id;
}

}  // namespace insula::identity
