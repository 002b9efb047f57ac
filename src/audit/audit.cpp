#include "insula/audit/audit.hpp"

#include <algorithm>

namespace insula::audit {
namespace {

constexpr pg::statement insert_row{"audit.add",
                                   "insert into control.audit_log (id, tenant_id, user_id, "
                                   "operator_user_id, action, entity_type, entity_id,"
                                   " changes, ip, request_id, status) values ($1, $2, $3, $4, $5, "
                                   "$6, $7, $8::jsonb, $9, $10, $11)"};
constexpr pg::statement find_row{"audit.witness",
                                 "select created_at from control.audit_log where id = $1"};

bool is_word(std::string_view text) noexcept {
    return !text.empty() &&
           std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

}  // namespace

bool is_action(std::string_view text) noexcept {
    const auto dot = text.find('.');
    return dot != std::string_view::npos && text.size() <= name_size_max &&
           is_word(text.substr(0, dot)) && is_word(text.substr(dot + 1));
}

void add(pg::unit& unit, const entry& what, std::optional<tenant_id> tenant) {
    unit.add(insert_row, what.id, tenant, what.user, what.operator_user, what.action,
             what.entity_type, what.entity_id, what.changes, what.ip, what.request_id,
             std::string_view(what.success ? "success" : "failure"));
}

void add_witness(pg::unit& unit, audit_id id) {
    unit.add(find_row, id);
}

}  // namespace insula::audit
