#pragma once
// Ids as types: a tenant_id is not a user_id, and text becomes one only through parse().

#include "insula/core/uuid.hpp"

namespace insula {

template <class Tag>
class basic_id {
public:
    constexpr basic_id() = default;
    constexpr explicit basic_id(const uuid& value) noexcept : value_(value) {}

    [[nodiscard]] static basic_id make() { return basic_id(make_uuid_v7()); }
    [[nodiscard]] static std::optional<basic_id> parse(std::string_view text) noexcept {
        const auto value = uuid::parse(text);
        return value ? std::optional<basic_id>(basic_id(*value)) : std::nullopt;
    }

    [[nodiscard]] constexpr const uuid& value() const noexcept { return value_; }
    [[nodiscard]] std::string str() const { return value_.str(); }
    [[nodiscard]] bool is_nil() const noexcept { return value_.is_nil(); }

    auto operator<=>(const basic_id&) const = default;

private:
    uuid value_;
};

using tenant_id = basic_id<struct tenant_tag>;
using user_id = basic_id<struct user_tag>;
using session_id = basic_id<struct session_tag>;
using project_id = basic_id<struct project_tag>;
using audit_id = basic_id<struct audit_tag>;
using run_id = basic_id<struct run_tag>;
using task_id = basic_id<struct task_tag>;
using key_id = basic_id<struct key_tag>;
using invite_id = basic_id<struct invite_tag>;
using token_id = basic_id<struct token_tag>;
using mail_id = basic_id<struct mail_tag>;
using worker_id = basic_id<struct worker_tag>;

template <class T>
inline constexpr bool is_id_v = false;
template <class Tag>
inline constexpr bool is_id_v<basic_id<Tag>> = true;

}  // namespace insula

template <class Tag>
struct std::hash<insula::basic_id<Tag>> {
    std::size_t operator()(const insula::basic_id<Tag>& id) const noexcept {
        return std::hash<insula::uuid>()(id.value());
    }
};
