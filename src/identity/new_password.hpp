#pragma once
#include "insula/identity/context.hpp"

#include <string>
#include <string_view>

namespace insula::identity {

/// Whose password it is to be: words it must not be made of. Unknown ones are empty.
struct password_owner {
    std::string_view email;
    std::string_view full_name;
    std::string_view tenant_name;
};

/// The hash of a password that is good enough (check_new_password), both on the CPU pool. The views
/// must live until it has answered. Errors: validation_failed at `pointer`, overloaded.
runtime::awaitable<result<std::string>> hash_new_password(context& with,
                                                          const password_text& password,
                                                          password_owner whose,
                                                          std::string_view pointer);

}  // namespace insula::identity
