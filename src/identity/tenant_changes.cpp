#include "tenant_changes.hpp"

#include "taken.hpp"

#include "insula/audit/audit.hpp"
#include "insula/queue/enqueue.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement request_deletion{"tenant.request_deletion",
                                         "select control.request_deletion($1, $2, $3, $4)"};
constexpr pg::statement restore{"tenant.restore", "select control.restore_tenant($1)"};
constexpr pg::statement retry{"tenant.retry", "select control.retry_registration($1, $2)"};

}  // namespace

named_by by_member(const token::claims& who) {
    return {.user = who.subject, .operator_user = who.actor};
}

audit_id audit_change(pg::unit& work, std::string_view action, tenant_id tenant, named_by who,
                      const caller& from, std::optional<std::string_view> changes) {
    audit::entry entry;
    entry.action = action;
    entry.entity_type = "tenant";
    entry.entity_id = tenant.str();
    entry.user = who.user;
    entry.operator_user = who.operator_user;
    if (changes) {
        entry.changes = std::string(*changes);
    }
    if (!from.ip.empty()) {
        entry.ip = from.ip;
    }
    if (!from.request_id.empty()) {
        entry.request_id = from.request_id;
    }
    audit::add(work, entry, tenant);
    return entry.id;
}

void add_deletion(pg::unit& work, tenant_id tenant, std::chrono::seconds grace, bool immediately) {
    const auto run = run_id::make();
    work.add(request_deletion, tenant, run, std::chrono::microseconds(grace), immediately);
    queue::add_enqueue(work, run,
                       deletion_request(tenant, immediately ? std::chrono::seconds(0) : grace));
}

void add_restore(pg::unit& work, tenant_id tenant) {
    work.add(restore, tenant);
}

void add_retry(pg::unit& work, const provision_input& input) {
    const auto run = run_id::make();
    work.add(retry, input.tenant, run);
    queue::add_enqueue(work, run, provision_request(input));
}

error retry_refused(const pg::pg_error& failure) {
    if (failure.state == tenancy::wrong_tenant_status) {
        return {errc::not_failed,
                "Only a registration that has failed is tried again; the tenant is " +
                    failure.detail + ".",
                failure.message};
    }
    return taken(failure);
}

provision_input provisioning_of(const pg::row& row) {
    return {.tenant = row.get<tenant_id>(0),
            .owner = row.get<user_id>(1),
            .cell = row.get<std::int32_t>(2),
            .new_account = row.get<bool>(3)};
}

}  // namespace insula::identity
