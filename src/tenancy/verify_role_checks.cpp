#include "verify_checks.hpp"

#include <array>

namespace insula::tenancy::detail {
namespace {

constexpr catalogue_check roles{"roles", "attributes of our roles", "roles", R"sql(
looked as (select from ours),
findings (how, object, what, mend) as (
    select 'danger', 'role ' || w.name, 'it does not exist', 'insula bootstrap'
    from (select $1 || '_' || k from unnest(array['owner', 'app', 'worker', 'provisioner', 'schema_owner',
          'gatekeeper', 'tenant', 'cell_0']) k) w(name)
    where not exists (select from ours o where o.name = w.name)
    union all
    select 'danger', 'role ' || o.name,
        'it has ' || concat_ws(', ', case when o.rolsuper then 'SUPERUSER' end,
            case when o.rolcreaterole and o.kind <> 'provisioner' then 'CREATEROLE' end,
            case when o.rolcreatedb then 'CREATEDB' end, case when o.rolreplication then 'REPLICATION' end,
            case when o.rolbypassrls then 'BYPASSRLS' end) || ', which reaches past every tenant''s rights',
        format('alter role %I nosuperuser %s nocreatedb noreplication nobypassrls', o.name,
               case when o.kind = 'provisioner' then 'createrole' else 'nocreaterole' end)
    from ours o where o.rolsuper or o.rolcreatedb or o.rolreplication or o.rolbypassrls
        or (o.rolcreaterole and o.kind <> 'provisioner')
    union all
    select 'danger', 'role ' || o.name, 'it may log in, but its rights are for functions only',
        format('alter role %I nologin', o.name)
    from ours o where o.rolcanlogin and o.kind in ('provisioner', 'schema_owner', 'gatekeeper', 'tenant')
    union all
    select 'danger', 'role ' || o.name,
        'it inherits what its members'' roles may: a statement that forgot its tenant would run',
        format('alter role %I noinherit', o.name)
    from ours o where o.rolinherit and o.kind in ('cell', 'owner', 'app', 'worker'))
)sql"};

constexpr catalogue_check memberships{"memberships", "who may become whom", "memberships", R"sql(
known as (select oid from ours union select oid from tenant_role),
looked as (select m.roleid, m.member, m.admin_option from pg_auth_members m
    where m.roleid in (select oid from known) or m.member in (select oid from known)),
named as (
    select l.roleid, l.member, l.admin_option, g.rolname::text as granted, r.rolname::text as holder, r.rolsuper,
        coalesce(og.kind, '') as granted_kind, coalesce(om.kind, '') as holder_kind, om.cell as holder_cell,
            t.cell as tenant_cell,
        tg.oid is not null as granted_tenant, tm.oid is not null as holder_tenant
    from looked l join pg_roles g on g.oid = l.roleid join pg_roles r on r.oid = l.member
    left join ours og on og.oid = l.roleid left join ours om on om.oid = l.member
    left join tenant_role tg on tg.oid = l.roleid left join tenant_role tm on tm.oid = l.member
    left join tenant t on t.role = l.roleid and t.status <> 'gone'),
findings (how, object, what, mend) as (
    -- Two databases of one server that share the prefix share the cells, too: see leftovers.
    select 'danger', format('role %s', n.holder),
        case when n.granted_tenant and n.holder_kind = 'cell' and n.tenant_cell is null
            then format('it may become %s, a tenant that does not exist', n.granted)
        when n.granted_tenant and n.holder_kind = 'cell'
            then format('it may become %s, a tenant of cell %s', n.granted, n.tenant_cell)
        else format('it may become %s, which is nobody''s to become', n.granted) end,
        format('revoke %I from %I', n.granted, n.holder)
    from named n
    where not n.rolsuper
        and not (n.granted_kind = 'tenant' and (n.holder_kind = 'provisioner' or n.holder_tenant))
        and not (n.granted_tenant and n.holder_kind = 'cell' and n.holder_cell is not distinct from n.tenant_cell)
        and not (n.granted_tenant and n.holder_kind = 'cell' and n.tenant_cell is null
                 and n.roleid in (select oid from elsewhere))
        -- From PostgreSQL 16 on whoever makes a role gets it.
        and not (n.granted_tenant and n.holder_kind = 'provisioner'
                 and current_setting('server_version_num')::integer >= 160000)
    union all
    select 'danger', format('role %s', n.holder), format('it may make others members of %s', n.granted),
        format('revoke admin option for %I from %I', n.granted, n.holder)
    from named n where n.admin_option and not n.rolsuper and n.holder_kind <> 'provisioner'
    union all
    select 'notice', format('role %s', r.rolname),
        format('it is a member of %s, which reaches every tenant''s data or the server itself', g.rolname),
        format('revoke %I from %I, unless this is meant', g.rolname, r.rolname)
    from pg_auth_members m join pg_roles g on g.oid = m.roleid join pg_roles r on r.oid = m.member
    where g.rolname in ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
                        'pg_execute_server_program', 'pg_signal_backend')
        and not r.rolsuper and not r.rolname like 'pg\_%' and m.member not in (select oid from known))
)sql"};

constexpr catalogue_check tenant_roles{"tenant_roles", "attributes of tenants' roles", "roles",
                                       R"sql(
looked as (select from tenant_role),
findings (how, object, what, mend) as (
    select 'danger', 'role ' || r.rolname,
        'a tenant''s role has ' || concat_ws(', ', case when r.rolcanlogin then 'LOGIN' end,
            case when r.rolsuper then 'SUPERUSER' end, case when r.rolcreaterole then 'CREATEROLE' end,
            case when r.rolcreatedb then 'CREATEDB' end, case when r.rolreplication then 'REPLICATION' end,
            case when r.rolbypassrls then 'BYPASSRLS' end),
        format('alter role %I nologin nosuperuser nocreaterole nocreatedb noreplication nobypassrls', r.rolname)
    from tenant_role t join pg_roles r on r.oid = t.oid
    where r.rolcanlogin or r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls)
)sql"};

constexpr catalogue_check cells{"cells", "tenants, their schemas and their cells", "tenants", R"sql(
looked as (select from tenant where status <> 'gone'),
held as (select m.roleid, o.cell from pg_auth_members m join ours o on o.oid = m.member and o.kind = 'cell'),
findings (how, object, what, mend) as (
    select 'danger', 'tenant ' || t.name,
        case when t.role is null then 'its role is missing' else 'its schema is missing' end,
        'restore it from a backup, or insula tenant delete ' || t.id || ' --immediately'
    from tenant t where t.complete and (t.role is null or t.schema is null)
    union all
    select 'danger', 'tenant ' || t.name,
        format('its row says cell %s, but that cell''s login may not become it', t.cell),
        format('grant %I to %I', t.name, $1 || '_cell_' || t.cell)
    from tenant t where t.complete and t.role is not null
        and not exists (select from held h where h.roleid = t.role and h.cell = t.cell))
)sql"};

constexpr catalogue_check leftovers{"leftovers", "schemas and roles that no tenant has",
                                    "schemas and roles", R"sql(
looked as (select oid from tenant_role union all
           select n.oid from pg_namespace n where n.nspname ~ '^t_[0-9a-f]{32}$'),
alive as (select name from tenant where status <> 'gone'),
findings (how, object, what, mend) as (
    select 'danger', 'schema ' || n.nspname, 'no tenant has it', format('drop schema %I cascade', n.nspname)
    from pg_namespace n
    where n.nspname ~ '^t_[0-9a-f]{32}$' and not exists (select from alive a where a.name = n.nspname::text)
    union all
    select 'danger', 'role ' || r.name, 'no tenant has it', format('drop role %I', r.name)
    from tenant_role r where not exists (select from alive a where a.name = r.name)
        and not exists (select from elsewhere e where e.oid = r.oid)
    union all
    select 'notice', 'database ' || e.database, format('%s roles of tenants are its, not this one''s: both have the '
        'role prefix %s, and so the same cells and passwords', count(distinct r.oid), $1),
        'leave those roles alone; a prefix belongs to one database of a server (INSULA_ROLE_PREFIX)'
    from tenant_role r join elsewhere e on e.oid = r.oid
    where not exists (select from alive a where a.name = r.name) group by e.database)
)sql"};

constexpr std::array all{roles, memberships, tenant_roles, cells, leftovers};

}  // namespace

const char* common_parts() noexcept {
    return R"sql(
with ours as materialized (
    select r.oid, r.rolname::text as name, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
        r.rolreplication, r.rolbypassrls,
        case when r.rolname ~ '_cell_[0-9]{1,4}$' then 'cell' else substr(r.rolname::text,
            length($1) + 2) end as kind,
        substring(r.rolname::text from '_cell_([0-9]{1,4})$')::integer as cell
    from pg_roles r
    where r.rolname::text in ($1 || '_owner', $1 || '_app', $1 || '_worker', $1 || '_provisioner',
                              $1 || '_schema_owner', $1 || '_gatekeeper', $1 || '_tenant')
        or r.rolname::text ~ ('^' || $1 || '_cell_[0-9]{1,4}$')),
tenant_role as materialized (
    select r.oid, r.rolname::text as name from pg_roles r
    where r.rolname::text ~ '^t_[0-9a-f]{32}$'
        and (r.oid in (select m.member from pg_auth_members m join ours g on g.oid = m.roleid and g.kind = 'tenant')
             or r.rolname::text in (select 't_' || replace(t.id::text, '-', '') from control.tenant t))),
tenant as materialized (
    select t.id, t.status, t.cell, n.name, s.oid as schema, r.oid as role,
        t.status in ('ready', 'suspended')
            or (t.status = 'pending_deletion' and t.restore_status <> 'failed') as complete
    from control.tenant t
    cross join lateral (select 't_' || replace(t.id::text, '-', '')) n(name)
    left join pg_namespace s on s.nspname::text = n.name
    left join pg_roles r on r.rolname::text = n.name),
weak as materialized (
    select oid, kind from ours where kind in ('cell', 'tenant')
    union all select oid, 'tenant role' from tenant_role
    union all select 0::oid, 'public'),
-- Roles that may use schemas of another database: the same prefix serves two of them.
elsewhere as materialized (
    select distinct d.refobjid as oid, b.datname::text as database
    from pg_shdepend d join pg_database b on b.oid = d.dbid
    where d.refclassid = 'pg_authid'::regclass and d.classid = 'pg_namespace'::regclass and d.deptype = 'a'
        and b.datname <> current_database()),
-- Tables that code hangs on, which would run with a new owner's rights.
coded as (
    select d.refobjid as oid from pg_depend d
    where d.refclassid = 'pg_class'::regclass
        and (d.classid in ('pg_rewrite'::regclass, 'pg_policy'::regclass)
             or (d.classid = 'pg_trigger'::regclass and d.deptype = 'a')
             or (d.classid in ('pg_attrdef'::regclass, 'pg_constraint'::regclass)
                 and exists (select from pg_depend f where f.classid = d.classid and f.objid = d.objid
                             and f.refclassid = 'pg_proc'::regclass and f.refobjid >= 16384)))
    union
    select x.indrelid from pg_index x where x.indexprs is not null or x.indpred is not null),
)sql";
}

std::span<const catalogue_check> role_checks() noexcept {
    return all;
}

}  // namespace insula::tenancy::detail
