#pragma once
// A role as bodies name it.
#include "insula/token/claims.hpp"

#include <boost/describe.hpp>

#include <cstdint>

namespace insula::api {

enum class tenant_role : std::uint8_t { owner, admin, member };
BOOST_DESCRIBE_ENUM(tenant_role, owner, admin, member)

constexpr token::role to_role(tenant_role named) noexcept {
    switch (named) {
        case tenant_role::owner:
            return token::role::owner;
        case tenant_role::admin:
            return token::role::admin;
        case tenant_role::member:
            break;
    }
    return token::role::member;
}

}  // namespace insula::api
