// What is neither a tenant's nor the control plane's: other schemas, PostgreSQL's own catalogue,
// and roles of strangers.

#include "verify_checks.hpp"

#include <array>

namespace insula::tenancy::detail {
namespace {

// A view in a schema of its own reads with its owner's rights, so what it shows is decided by who
// may read the view. What an extension's script has granted is the extension's affair.
constexpr catalogue_check other_relations{"other_relations", "what tenants reach in other schemas",
                                          "relations and schemas", R"sql(
outside as (
    select n.oid, n.nspname::text as name, n.nspowner, n.nspacl,
        -- Whether it holds anything but what extensions have put there.
        exists (select from pg_depend d
                where d.refclassid = 'pg_namespace'::regclass and d.refobjid = n.oid and d.deptype = 'n'
                    and d.classid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
                    and not exists (select from pg_depend e where e.classid = d.classid and e.objid = d.objid
                                    and e.deptype = 'e')) as filled
    from pg_namespace n
    where n.nspname !~ '^pg_(toast|temp)' and n.nspname not in ('control', 'queue', 'provision', 'tenant_api')
        and not exists (select from tenant t where t.schema = n.oid)),
used as (
    select s.oid, s.name, s.filled, a.grantee from outside s
    cross join lateral aclexplode(coalesce(s.nspacl, acldefault('n', s.nspowner))) a
    where a.privilege_type = 'USAGE' and a.grantee in (select oid from weak)),
relation as (
    select c.oid, c.relkind, c.relacl, s.oid as schema, format('%I.%I', s.name, c.relname) as object
    from pg_class c join outside s on s.oid = c.relnamespace
    where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')),
granted as (
    select r.oid, 0 as objsubid, r.object, r.schema, r.relkind, null::name as attname, a.grantee, a.privilege_type
    from relation r cross join lateral aclexplode(r.relacl) a where r.relacl is not null
    union all
    select r.oid, c.attnum, r.object, r.schema, r.relkind, c.attname, a.grantee, a.privilege_type
    from relation r join pg_attribute c on c.attrelid = r.oid and c.attacl is not null
    cross join lateral aclexplode(c.attacl) a),
looked as (select oid from relation union all select oid from outside),
findings (how, object, what, mend) as (
    select 'danger', case g.relkind when 'S' then 'sequence ' when 'v' then 'view ' else 'table ' end || g.object,
        format('%s has %s%s on it: what it shows, every tenant may see', h.holder, g.privilege_type,
               coalesce(' on column ' || g.attname, '')),
        format('revoke %s%s on %s%s from %s', g.privilege_type, coalesce(' (' || quote_ident(g.attname) || ')', ''),
               case when g.relkind = 'S' then 'sequence ' else '' end, g.object, h.holder)
    from granted g cross join lateral (
        select case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end) h(holder)
    where g.grantee in (select oid from weak)
        -- Without USAGE on the schema, what the public may do in it reaches nobody.
        and (g.grantee <> 0 or g.schema in (select oid from used))
        and not exists (select from pg_init_privs i cross join lateral aclexplode(i.initprivs) b
                        where i.classoid = 'pg_class'::regclass and i.objoid = g.oid and i.objsubid = g.objsubid
                            and b.grantee = g.grantee and b.privilege_type = g.privilege_type)
    union all
    -- An extension's functions and operators are there to be used; public is looked at by itself.
    select case when u.filled then 'danger' else 'notice' end, 'schema ' || u.name,
        format('%s has USAGE on it, and it is none of ours: what is made in it, every tenant may find', h.holder),
        format('revoke usage on schema %I from %s', u.name, h.holder)
    from used u cross join lateral (
        select case when u.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(u.grantee)) end) h(holder)
    where u.name not in ('pg_catalog', 'information_schema', 'public')
        and (u.filled or not exists (select from pg_extension e where e.extnamespace = u.oid)))
)sql"};

// What initdb has made has an oid below 16384, whatever schema somebody puts other things into.
constexpr catalogue_check system_catalogue{
    "system_catalogue", "PostgreSQL's own tables and functions", "objects", R"sql(
looked as (
    select 'pg_class'::regclass::oid as classid, c.oid from pg_class c where c.oid < 16384 and c.relkind in ('r', 'v')
    union all select 'pg_proc'::regclass, p.oid from pg_proc p where p.oid < 16384),
granted as (
    select c.oid, 0 as objsubid, c.relnamespace, c.oid::regclass::text as object, null::name as attname,
        a.grantee, a.privilege_type
    from pg_class c cross join lateral aclexplode(c.relacl) a
    where c.oid < 16384 and c.relkind in ('r', 'v') and c.relacl is not null
    union all
    select c.oid, t.attnum, c.relnamespace, c.oid::regclass::text, t.attname, a.grantee, a.privilege_type
    from pg_class c join pg_attribute t on t.attrelid = c.oid and t.attacl is not null
    cross join lateral aclexplode(t.attacl) a
    where c.oid < 16384 and c.relkind in ('r', 'v')),
findings (how, object, what, mend) as (
    select 'danger', 'table ' || g.object,
        format('%s has %s%s on it, which PostgreSQL gives to nobody of its kind', h.holder, g.privilege_type,
               coalesce(' on column ' || g.attname, '')),
        format('revoke %s%s on %s from %s', g.privilege_type, coalesce(' (' || quote_ident(g.attname) || ')', ''),
               g.object, h.holder)
    from granted g cross join lateral (
        select case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end) h(holder)
    where (g.grantee in (select oid from weak) or g.grantee in (select oid from ours))
        and not exists (select from pg_init_privs i cross join lateral aclexplode(i.initprivs) b
                        where i.classoid = 'pg_class'::regclass and i.objoid = g.oid and i.objsubid = g.objsubid
                            and b.grantee = g.grantee and b.privilege_type = g.privilege_type)
        -- These are granted after initdb has noted what it granted.
        and not (g.relnamespace = 'information_schema'::regnamespace and g.grantee = 0
                 and g.privilege_type = 'SELECT')
    union all
    select 'danger', format('function %s', p.oid::regprocedure),
        case when p.prosecdef then 'it is PostgreSQL''s own, but somebody has made it run with its owner''s rights'
            else 'it is PostgreSQL''s own, but somebody has put other code or another owner in its place' end,
        case when p.prosecdef then format('alter function %s security invoker', p.oid::regprocedure)
            else 'move to a server made afresh by initdb: what else was changed cannot be told' end
    from pg_proc p join pg_language l on l.oid = p.prolang
    where p.oid < 16384 and (p.prosecdef or p.proowner <> 10 or l.lanname not in ('internal', 'c', 'sql')))
)sql"};

constexpr catalogue_check strangers{"strangers", "what other roles of the server may do", "roles",
                                    R"sql(
looked as (
    select r.* from pg_roles r
    where not r.rolsuper and r.rolname !~ '^pg_' and r.oid not in (select oid from ours)
        and r.oid not in (select oid from tenant_role)),
findings (how, object, what, mend) as (
    select 'notice', 'role ' || l.rolname,
        'it has ' || concat_ws(', ', case when l.rolcreaterole then 'CREATEROLE' end,
            case when l.rolreplication then 'REPLICATION' end, case when l.rolbypassrls then 'BYPASSRLS' end)
            || case when l.rolcreaterole then ': before PostgreSQL 16 it may make itself any tenant, any cell, and '
                                              'whoever runs programs on the server'
                when l.rolreplication then ': it may copy the whole cluster' else '' end,
        format('alter role %I nocreaterole noreplication nobypassrls, unless this is meant', l.rolname)
    from looked l
    where (l.rolcreaterole or l.rolreplication or l.rolbypassrls)
        -- Nobody is, or may become, what makes the roles of an installation with another prefix.
        and (l.rolcanlogin or exists (select from pg_auth_members m where m.roleid = l.oid)))
)sql"};

constexpr std::array all{other_relations, system_catalogue, strangers};

}  // namespace

std::span<const catalogue_check> other_checks() noexcept {
    return all;
}

}  // namespace insula::tenancy::detail
