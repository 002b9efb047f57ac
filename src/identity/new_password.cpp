#include "new_password.hpp"

namespace insula::identity {
namespace {

struct hashed_password {
    std::optional<value_problem> problem;
    std::string hash;
};

}  // namespace

runtime::awaitable<result<std::string>> hash_new_password(context& with,
                                                          const password_text& password,
                                                          password_owner whose,
                                                          std::string_view pointer) {
    auto done = co_await with.hashing.run([&with, &password, &whose]() -> hashed_password {
        if (auto problem = check_new_password(password.view(), whose.email, whose.full_name,
                                              whose.tenant_name)) {
            return {std::move(problem), {}};
        }
        return {std::nullopt, with.hasher.hash(password.view())};
    });
    if (!done) {
        co_return done.error();
    }
    if (done->problem) {
        co_return error::validation(std::string(pointer), done->problem->code,
                                    done->problem->detail);
    }
    co_return std::move(done->hash);
}

}  // namespace insula::identity
