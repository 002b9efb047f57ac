#include "insula/core/errc.hpp"

#include <array>
#include <string>

namespace insula {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(errc_last) + 1> names{
    "ok",
    "malformed_request",
    "malformed_json",
    "invalid_cursor",
    "invalid_token_value",
    "unauthenticated",
    "invalid_token",
    "invalid_credentials",
    "invalid_refresh_token",
    "refresh_token_reused",
    "forbidden",
    "tenant_mismatch",
    "tenant_suspended",
    "email_not_verified",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "conflict",
    "slug_taken",
    "email_taken",
    "name_taken",
    "tenant_required",
    "tenant_not_ready",
    "tenant_pending_deletion",
    "not_failed",
    "last_owner",
    "already_member",
    "invite_pending",
    "idempotency_in_progress",
    "precondition_failed",
    "payload_too_large",
    "unsupported_media_type",
    "validation_failed",
    "idempotency_key_reused",
    "rate_limited",
    "header_too_large",
    "internal",
    "not_implemented",
    "overloaded",
};
// A code added to the enumeration but not here would shift every name behind it.
static_assert(names[static_cast<std::size_t>(errc::refresh_token_reused)] ==
              "refresh_token_reused");
static_assert(names[static_cast<std::size_t>(errc::tenant_required)] == "tenant_required");
static_assert(names[static_cast<std::size_t>(errc::validation_failed)] == "validation_failed");
static_assert(names[static_cast<std::size_t>(errc::overloaded)] == "overloaded");

class category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "insula"; }
    std::string message(int value) const override {
        return std::string(insula::name(static_cast<errc>(value)));
    }
};

}  // namespace

std::string_view name(errc code) noexcept {
    const auto index = static_cast<std::size_t>(code);
    return index < names.size() ? names[index] : std::string_view("unknown");
}

const boost::system::error_category& insula_category() noexcept {
    static const category instance;
    return instance;
}

}  // namespace insula
