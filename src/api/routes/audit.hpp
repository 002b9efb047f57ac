#pragma once
// The tenant's audit log.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc listing_entity[] = {errc::not_found, errc::invalid_cursor};

inline constexpr parameter audit_page[] = {
    {"action", "only this action, such as project.create", &schema::audit_action},
    {"user_id", "only what was done by (or as) this person", &schema::uuid},
    page[0],
    page[1]};

inline constexpr auto audit_rows = std::to_array<row>({
    {get, "/api/v1/audit/logs",
     admin<&list_audit>({.id = "listAudit",
                         .tag = "audit",
                         .summary = "What happened in the tenant, newest first",
                         .response = &schema::audit_page,
                         .errors = listing,
                         .query = audit_page})},
    {get, "/api/v1/audit/logs/entity/{type}/{id}",
     admin<&list_audit_of_entity>({.id = "listAuditOfEntity",
                                   .tag = "audit",
                                   .summary = "What happened to one project, user, …",
                                   .response = &schema::audit_page,
                                   .errors = listing_entity,
                                   .query = page})},
});

}  // namespace insula::api::rows
