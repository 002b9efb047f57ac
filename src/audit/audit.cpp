#include "insula/audit/audit.hpp"

namespace insula::audit {
namespace {

constexpr pg::statement insert_row{"audit.add",
                                   "insert into control.audit_log (id, tenant_id, user_id, "
                                   "operator_user_id, action, entity_type, entity_id,"
                                   " changes, ip, request_id, status) values ($1, $2, $3, $4, $5, "
                                   "$6, $7, $8::jsonb, $9, $10, $11)"};
constexpr pg::statement find_row{"audit.witness",
                                 "select created_at from control.audit_log where id = $1"};

}  // namespace

void add(pg::unit& unit, const entry& what, std::optional<tenant_id> tenant) {
    unit.add(insert_row, what.id, tenant, what.user, what.operator_user, what.action,
             what.entity_type, what.entity_id, what.changes, what.ip, what.request_id,
             std::string_view(what.success ? "success" : "failure"));
}

void add_witness(pg::unit& unit, audit_id id) {
    unit.add(find_row, id);
}

}  // namespace insula::audit
