#include "trouble.hpp"

#include <fmt/format.h>

namespace insula::test {
namespace {

/// A function of the same name before one of provision's, which keeps its owner and rights.
std::string wrap(std::string_view function, std::string_view types, std::string_view declared,
                 std::string_view call, std::string_view result, std::string_view place) {
    return fmt::format(
        "alter function provision.{0}({1}) set schema undisturbed;"
        "create function provision.{0}({2}) returns {4} language plpgsql as $$"
        " declare answer text := undisturbed.{0}({3})::text;"
        " begin perform trouble.now('{5}'); return {6}; end $$;"
        "grant execute on function provision.{0}({1}) to public;",
        function, types, declared, call, result, place, result == "void" ? "" : "answer::integer");
}

std::string fire(std::string_view table, std::string_view event, std::string_view when,
                 std::string_view place) {
    return fmt::format(
        "create trigger trouble_{3} after {1} on control.{0} for each row when ({2})"
        " execute function trouble.fire('{3}');",
        table, event, when, place);
}

}  // namespace

trouble::trouble(test_database& database) : database_(database) {
    database_.query_admin(
        "create schema trouble; create schema undisturbed;"
        "grant usage on schema trouble, undisturbed to public;"
        "create table trouble.plan (place text primary key, state text, times integer);"
        "create sequence trouble.arrivals;"
        "create function trouble.now(p_place text) returns void language plpgsql security definer"
        " as $$ declare p trouble.plan; begin"
        " select * into p from trouble.plan x where x.place = p_place;"
        " if found and nextval('trouble.arrivals') <= p.times then"
        " raise exception using errcode = p.state, message = 'trouble at ' || p_place; end if;"
        " end $$; grant execute on function trouble.now(text) to public;"
        "create function trouble.fire() returns trigger language plpgsql security definer as"
        " $$ begin perform trouble.now(tg_argv[0]); return null; end $$;"
        "grant execute on function trouble.fire() to public;" +
        wrap("create_tenant_role", "uuid, integer", "tenant uuid, cell integer", "tenant, cell",
             "void", "role") +
        wrap("apply_tenant_migrations", "uuid", "tenant uuid", "tenant", "integer", "migrations") +
        wrap("create_tenant_schema", "uuid", "tenant uuid", "tenant", "integer", "schema") +
        wrap("drop_tenant_role", "uuid", "tenant uuid", "tenant", "void", "drop_role") +
        wrap("drop_tenant_schema", "uuid", "tenant uuid", "tenant", "void", "drop_schema") +
        fire("tenant", "update", "old.status = 'provisioning' and new.status = 'ready'", "ready") +
        fire("membership", "update", "new.status = 'active'", "owner") +
        fire("audit_log", "insert", "new.action = 'tenant.create'", "audit"));
}

void trouble::at(std::string_view place, std::string_view sqlstate, int times) {
    database_.query_admin(
        fmt::format("delete from trouble.plan; alter sequence trouble.arrivals restart;"
                    "insert into trouble.plan values ('{}', '{}', {})",
                    place, sqlstate, times));
}

void trouble::over() {
    database_.query_admin("delete from trouble.plan");
}

}  // namespace insula::test
