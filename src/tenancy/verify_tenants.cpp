#include "verify_tenants.hpp"

namespace insula::tenancy::detail {
namespace {

// "insula" and 8, beside the other two keys (docs/operations.md).
constexpr std::int64_t run_lock = 0x696e73756c6108;
constexpr const char* our_name = "insula verify-isolation";

constexpr pg::statement try_lock{"verify.lock", "select pg_catalog.pg_try_advisory_lock($1)"};
// A registration has a member from its first moment on, whatever name somebody gives it.
constexpr pg::statement left_behind{
    "verify.left_behind",
    "select t.id from control.tenant t where t.name = $1 and t.status = 'provisioning'"
    " and t.slug ~ '^verify-isolation-[0-9a-f]{32}$'"
    " and not exists (select from control.membership m where m.tenant_id = t.id)"
    " and not exists (select from control.registration r where r.tenant_id = t.id)"};
constexpr pg::statement insert_row{
    "verify.row",
    "insert into control.tenant (id, slug, name, cell) values"
    " ($1, 'verify-isolation-' || replace($1::text, '-', ''), $2, $3)"};
constexpr pg::statement create_all{"verify.create", "select provision.create_tenant($1, $2)"};
constexpr pg::statement is_there{
    "verify.is_there",
    "select t.id from control.tenant t where t.id = $1 and t.name = $2 and t.status = "
    "'provisioning'"};
constexpr pg::statement drop_all{"verify.drop", "select provision.drop_tenant($1)"};
constexpr pg::statement delete_row{
    "verify.delete",
    "delete from control.tenant t where t.id = $1 and t.name = $2 and t.status = 'provisioning'"};
constexpr pg::statement list_relations{
    "verify.relations",
    "select format('%I.%I', n.nspname, c.relname), c.relkind::text,"
    " (select quote_ident(a.attname) from pg_catalog.pg_attribute a where a.attrelid = c.oid"
    "  and a.attnum > 0 and not a.attisdropped order by a.attnum limit 1)"
    " from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
    " where n.nspname::text = any ($1::text[]) and c.relkind in ('r', 'p', 'v', 'm', 'S')"
    " order by c.relname limit $2"};

}  // namespace

runtime::awaitable<pg::pg_result<bool>> lock_out_others(pg::lease& owner) {
    pg::unit work;
    work.add(try_lock, run_lock);
    auto answer = co_await owner.exec(std::move(work));
    if (!answer) {
        co_return answer.error();
    }
    co_return answer->front().scalar<bool>();
}

runtime::awaitable<pg::pg_result<std::vector<tenant_id>>> find_left_behind(pg::lease& owner) {
    pg::unit work;
    work.add(left_behind, std::string(our_name));
    auto answer = co_await owner.exec(std::move(work));
    if (!answer) {
        co_return answer.error();
    }
    std::vector<tenant_id> found;
    for (const auto row : answer->front()) {
        found.push_back(row.get<tenant_id>(0));
    }
    co_return found;
}

runtime::awaitable<pg::pg_result<temporary_tenant>> make_tenant(pg::lease& worker, tenant_id tenant,
                                                                int cell) {
    temporary_tenant made{.id = tenant, .relations = {}};
    // One unit, so one transaction: it is made or it is not.
    pg::unit work;
    work.add(insert_row, tenant, std::string(our_name), static_cast<std::int32_t>(cell));
    work.add(create_all, tenant, static_cast<std::int32_t>(cell));
    if (auto answer = co_await worker.exec(std::move(work)); !answer) {
        co_return answer.error();
    }
    auto relations = co_await relations_of(worker, {made.role()}, 50);
    if (!relations) {
        co_return relations.error();
    }
    made.relations = std::move(*relations);
    co_return made;
}

runtime::awaitable<pg::pg_result<>> remove_tenant(pg::lease& worker, pg::lease& owner,
                                                  tenant_id tenant) {
    pg::unit look;
    look.add(is_there, tenant, std::string(our_name));
    auto there = co_await owner.exec(std::move(look));
    if (!there) {
        co_return there.error();
    }
    if (there->front().empty()) {
        co_return pg::pg_result<>();
    }
    pg::unit drop;
    drop.add(drop_all, tenant);
    if (auto dropped = co_await worker.exec(std::move(drop)); !dropped) {
        co_return dropped.error();
    }
    // Only the owner of the table may: services never delete a tenant's row.
    pg::unit forget;
    forget.add(delete_row, tenant, std::string(our_name));
    if (auto forgotten = co_await owner.exec(std::move(forget)); !forgotten) {
        co_return forgotten.error();
    }
    co_return pg::pg_result<>();
}

runtime::awaitable<pg::pg_result<std::vector<relation>>> relations_of(
    pg::lease& any, std::vector<std::string> schemas, int limit) {
    pg::unit work;
    work.add(list_relations, schemas, std::int64_t{limit});
    auto answer = co_await any.exec(std::move(work));
    if (!answer) {
        co_return answer.error();
    }
    std::vector<relation> all;
    for (const auto row : answer->front()) {
        all.push_back({row.get<std::string>(0), row.get<std::string>(1).at(0),
                       row.get<std::optional<std::string>>(2).value_or("")});
    }
    co_return all;
}

}  // namespace insula::tenancy::detail
