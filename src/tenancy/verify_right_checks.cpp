#include "verify_checks.hpp"

#include <array>

namespace insula::tenancy::detail {
namespace {

constexpr catalogue_check database{"database", "rights on the database", "rights", R"sql(
looked as (
    select d.datname, d.datdba, a.grantee, a.privilege_type, a.is_grantable,
        case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as holder
    from pg_database d cross join lateral aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    where d.datname = current_database() and a.grantee <> d.datdba),
findings (how, object, what, mend) as (
    select 'danger', format('database %s', l.datname),
        format('%s has %s on it', l.holder, l.privilege_type) || case l.privilege_type
            when 'TEMPORARY' then ': a temporary table may stand in for a real one'
            when 'CREATE' then ': it may make schemas' else '' end,
        format('revoke %s on database %I from %s', l.privilege_type, l.datname, l.holder)
    from looked l left join ours o on o.oid = l.grantee
    where l.grantee = 0 or l.grantee in (select oid from tenant_role) or o.kind = 'tenant' or l.is_grantable
        or (o.oid is not null and l.privilege_type = 'TEMPORARY')
        or (o.kind not in ('owner', 'schema_owner') and l.privilege_type = 'CREATE')
    union all
    select 'danger', format('database %s', d.datname),
        format('it belongs to %I, who may do in it what the owner of schema public may', r.rolname),
        format('alter database %I owner to %I', d.datname, pg_get_userbyid(10))
    from pg_database d join pg_roles r on r.oid = d.datdba
    where d.datname = current_database()
        and (r.oid in (select oid from ours) or r.oid in (select oid from tenant_role)))
)sql"};

constexpr catalogue_check schemas{"schemas", "owners of schemas, and who may use them", "schemas",
                                  R"sql(
looked as (select n.oid, n.nspname::text as name, n.nspowner, n.nspacl from pg_namespace n
    where n.nspname !~ '^pg_(toast|temp)'),
wanted as (
    select l.*, t.role as tenant, case when l.name in ('control', 'queue', 'tenant_api') then 'owner'
        when l.name = 'provision' then 'provisioner' when t.id is not null then 'schema_owner' end as owner_kind
    from looked l left join tenant t on t.schema = l.oid),
granted as (
    select w.name, w.tenant, w.owner_kind, a.privilege_type, a.grantee, a.is_grantable, o.kind,
        case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as holder,
        k.kind as weak_kind
    from wanted w cross join lateral aclexplode(coalesce(w.nspacl, acldefault('n', w.nspowner))) a
    left join ours o on o.oid = a.grantee left join weak k on k.oid = a.grantee
    where a.grantee <> w.nspowner),
findings (how, object, what, mend) as (
    select 'danger', 'schema ' || w.name,
        format('it belongs to %I, not to %I', pg_get_userbyid(w.nspowner), o.name),
        format('alter schema %I owner to %I', w.name, o.name)
    from wanted w join ours o on o.kind = w.owner_kind where w.nspowner <> o.oid
    union all
    select 'danger', 'schema ' || w.name,
        format('it belongs to %I, who may make anything in it', pg_get_userbyid(w.nspowner)),
        'read what is in it, then ' || format('drop schema %I cascade', w.name)
    from wanted w left join ours o on o.oid = w.nspowner
    where w.owner_kind is null and w.name !~ '^t_[0-9a-f]{32}$'
        and (o.kind <> 'owner' or w.nspowner in (select oid from tenant_role))
    union all
    select 'danger', 'schema ' || g.name,
        format('%s may create in it: what it makes there may stand in for something else', g.holder),
        format('revoke create on schema %I from %s', g.name, g.holder)
    from granted g where g.privilege_type = 'CREATE'
        and (g.owner_kind is not null or g.weak_kind is not null or g.kind <> 'owner')
    union all
    select case when g.weak_kind is not null or g.kind is not null or g.owner_kind is null
                then 'danger' else 'notice' end, 'schema ' || g.name,
        format('%s has USAGE on it%s', g.holder, case when g.tenant is not null then ', which is one tenant''s' end),
        format('revoke usage on schema %I from %s', g.name, g.holder)
    from granted g where g.privilege_type = 'USAGE' and (
        (g.owner_kind = 'schema_owner' and g.grantee is distinct from g.tenant)
        or (g.name in ('control', 'queue', 'provision', 'public') and g.weak_kind is not null)
        or (g.name = 'tenant_api' and g.weak_kind <> 'tenant')
        or g.is_grantable))
)sql"};

constexpr catalogue_check tenant_tables{"tenant_tables", "tenants' tables, views and sequences",
                                        "relations", R"sql(
looked as (
    select c.oid, c.relkind, c.relowner, c.relacl, format('%I.%I', n.nspname, c.relname) as object, t.role,
        case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'm' then 'materialized view'
            when 'f' then 'foreign table' else 'table' end as word
    from tenant t join pg_namespace n on n.oid = t.schema
    join pg_class c on c.relnamespace = t.schema and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')),
schema_owner as (select oid, name from ours where kind = 'schema_owner'),
granted as (
    select l.object, l.relkind, l.role, null::name as attname, a.grantee, a.privilege_type, a.is_grantable
    from looked l cross join lateral aclexplode(l.relacl) a where l.relacl is not null and a.grantee <> l.relowner
    union all
    select l.object, l.relkind, l.role, c.attname, a.grantee, a.privilege_type, a.is_grantable
    from looked l join pg_attribute c on c.attrelid = l.oid and c.attacl is not null
    cross join lateral aclexplode(c.attacl) a where a.grantee <> l.relowner),
findings (how, object, what, mend) as (
    select 'danger', case l.relkind when 'S' then 'sequence ' when 'v' then 'view ' else 'table ' end || l.object,
        format('it belongs to %I, not to %I', pg_get_userbyid(l.relowner), s.name),
        case when l.relkind in ('v', 'm', 'f') then format('drop %s %s', l.word, l.object)
            when l.oid in (select oid from coded)
            then format('read its triggers, rules, policies and defaults, then alter table %s owner to %I', l.object,
                        s.name)
            else format('alter table %s owner to %I', l.object, s.name) end
    from looked l cross join schema_owner s
    where l.relowner <> s.oid
    union all
    select 'danger', 'foreign table ' || l.object, 'it shows what another server has to whoever may read it',
        format('drop foreign table %s', l.object)
    from looked l where l.relkind = 'f'
    union all
    -- To whom an administrator has given one tenant's table, and no more, is for the administrator to judge.
    select case when g.grantee in (select oid from weak) or g.grantee in (select oid from ours)
                then 'danger' else 'notice' end,
        case g.relkind when 'S' then 'sequence ' when 'v' then 'view ' else 'table ' end || g.object,
        format('%s has %s%s on it%s', w.holder, g.privilege_type, coalesce(' on column ' || g.attname, ''),
               case when g.grantee is distinct from g.role then ', which is another''s'
                    when g.is_grantable then ' and may give it on' else ', more than rows need' end),
        format('revoke %s%s on %s%s from %s', g.privilege_type, coalesce(' (' || quote_ident(g.attname) || ')', ''),
               case when g.relkind = 'S' then 'sequence ' else '' end, g.object, w.holder)
    from granted g cross join lateral (
        select case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end) w(holder)
    where g.grantee is distinct from g.role or g.is_grantable
        or not g.privilege_type = any (case when g.relkind = 'S' then array['USAGE', 'SELECT']
                                       else array['SELECT', 'INSERT', 'UPDATE', 'DELETE'] end))
)sql"};

constexpr catalogue_check control_tables{"control_tables", "tables of the control plane",
                                         "relations", R"sql(
looked as (
    select c.oid, c.relkind, c.relowner, c.relacl, c.relrowsecurity, n.nspname, c.relname,
        format('%I.%I', n.nspname, c.relname) as object
    from pg_namespace n join pg_class c on c.relnamespace = n.oid
    where n.nspname in ('control', 'queue', 'provision', 'tenant_api') and c.relkind in ('r', 'p', 'v', 'm',
        'f', 'S')),
granted as (
    select l.object, null::name as attname, a.grantee, a.privilege_type, a.is_grantable
    from looked l cross join lateral aclexplode(l.relacl) a where l.relacl is not null and a.grantee <> l.relowner
    union all
    select l.object, c.attname, a.grantee, a.privilege_type, a.is_grantable
    from looked l join pg_attribute c on c.attrelid = l.oid and c.attacl is not null
    cross join lateral aclexplode(c.attacl) a where a.grantee <> l.relowner),
judged as (
    select g.*, o.kind,
        case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end as holder,
        g.grantee in (select oid from weak) as is_weak
    from granted g left join ours o on o.oid = g.grantee),
findings (how, object, what, mend) as (
    select 'danger', 'table ' || l.object, format('it belongs to %I, not to %I', pg_get_userbyid(l.relowner), o.name),
        case when l.relkind in ('v', 'm', 'f')
            then format('drop %s %s', case l.relkind when 'v' then 'view' when 'm' then 'materialized view'
                                      else 'foreign table' end, l.object)
            when l.oid in (select oid from coded)
            then format('read its triggers, rules, policies and defaults, then alter table %s owner to %I', l.object,
                        o.name)
            else format('alter table %s owner to %I', l.object, o.name) end
    from looked l join ours o on o.kind = 'owner'
    where l.relowner <> o.oid
    union all
    select 'danger', 'table ' || l.object, 'it has row security, whose code runs with the rights of whoever reads it',
        format('alter table %s disable row level security', l.object)
    from looked l where l.relrowsecurity
    union all
    select case when j.is_weak or j.kind is not null then 'danger' else 'notice' end, 'table ' || j.object,
        format('%s has %s%s on it', j.holder, j.privilege_type, coalesce(' on column ' || j.attname, ''))
            || case when j.kind is not null and not j.is_weak then ', more than it needs' else '' end,
        format('revoke %s%s on %s from %s', j.privilege_type, coalesce(' (' || quote_ident(j.attname) || ')',
            ''), j.object, j.holder)
    from judged j
    where j.is_grantable or case
        when j.kind in ('app', 'worker') then
            not j.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'USAGE')
            -- Nobody changes history.
            or (j.object = 'control.audit_log' and j.privilege_type in ('UPDATE', 'DELETE'))
        when j.kind = 'gatekeeper' then
            (j.object, j.attname::text, j.privilege_type) not in (('control.tenant', 'id', 'SELECT'),
                                                                   ('control.tenant', 'status', 'SELECT'))
            or j.attname is null
        when j.kind = 'schema_owner' then
            not (j.object in ('control.tenant', 'control.tenant_migration') and j.privilege_type = 'SELECT')
            and (j.object, j.attname::text, j.privilege_type) is distinct from
                ('control.tenant', 'schema_version', 'UPDATE')
        else true end)
)sql"};

constexpr catalogue_check function_rights{"function_rights", "who may call what", "functions",
                                          R"sql(
looked as (
    select p.oid, p.proname, p.proowner, p.proacl, p.prosecdef, n.nspname, t.role, t.id is not null as tenants
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace left join tenant t on t.schema = n.oid
    where p.oid >= 16384
        and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                        and d.deptype = 'e')),
used as (
    select n.nspname from pg_namespace n
    where exists (select from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
                  where a.privilege_type = 'USAGE' and a.grantee in (select oid from weak))),
granted as (
    select l.oid, l.proname, l.nspname, l.role, l.tenants, l.prosecdef, a.grantee, o.kind, k.kind as weak_kind,
        l.nspname in (select u.nspname from used u) as used,
        case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as holder,
        l.nspname in ('control', 'queue', 'provision', 'tenant_api') as is_ours, a.is_grantable
    from looked l cross join lateral aclexplode(coalesce(l.proacl, acldefault('f', l.proowner))) a
    left join ours o on o.oid = a.grantee left join weak k on k.oid = a.grantee
    where a.grantee <> l.proowner),
-- What PostgreSQL itself keeps from the public, and what bootstrap takes from it besides.
kept as (
    select p.oid, a.grantee, case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
        as holder
    from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    where p.pronamespace = 'pg_catalog'::regnamespace and a.grantee in (select oid from weak)
        and (p.oid in (select i.objoid from pg_init_privs i where i.classoid = 'pg_proc'::regclass
                       and not exists (select from aclexplode(i.initprivs) b where b.grantee = 0))
             or p.proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_put', 'lowrite', 'lo_unlink',
                              'lo_truncate', 'lo_truncate64', 'lo_get')
             or (p.proname ~ '^pg_(try_)?advisory_' and p.proname <> 'pg_advisory_unlock_all'))),
findings (how, object, what, mend) as (
    select case when g.weak_kind is not null or g.kind is not null then 'danger' else 'notice' end,
        format('function %s', g.oid::regprocedure),
        format('%s may call it%s', g.holder,
               case when g.weak_kind is not null and g.prosecdef then ', and it runs with its owner''s rights'
                    else '' end),
        format('revoke execute on function %s from %s', g.oid::regprocedure, g.holder)
    from granted g
    where g.is_grantable or case
        when g.is_ours and g.weak_kind = 'tenant' then g.nspname <> 'tenant_api' or g.proname not in
            ('assert_session', 'audit_add', 'audit_list', 'audit_time', 'idempotency_answer', 'idempotency_take')
        when g.nspname = 'provision' then g.kind is null or g.kind not in ('worker', 'owner', 'provisioner',
            'schema_owner', 'gatekeeper')
        when g.is_ours then g.kind is null or g.kind not in ('app', 'worker', 'owner', 'schema_owner', 'gatekeeper')
        -- Without USAGE on the schema, what the public may do in it reaches nobody.
        when g.tenants then g.grantee <> 0 and g.grantee is distinct from g.role
        else g.weak_kind is not null and g.prosecdef and (g.grantee <> 0 or g.used) end
    union all
    select 'danger', format('function %s', k.oid::regprocedure),
        format('%s may call it, which reaches past a tenant''s own schema', k.holder),
        format('revoke execute on function %s from %s', k.oid::regprocedure, k.holder)
    from kept k)
)sql"};

// Whatever kind of object it is, PostgreSQL notes here whom it mentions.
constexpr catalogue_check owned{"owned", "what tenants and cells own or are granted", "objects",
                                R"sql(
looked as (
    select d.classid, d.objid, d.objsubid, d.deptype, o.kind, d.refobjid,
        quote_ident(pg_get_userbyid(d.refobjid)) as who
    from pg_shdepend d left join ours o on o.oid = d.refobjid
    where d.refclassid = 'pg_authid'::regclass and d.deptype in ('o', 'a')
        and d.dbid in (0, (select oid from pg_database where datname = current_database()))
        and (o.kind in ('cell', 'tenant', 'app', 'worker', 'gatekeeper')
             or d.refobjid in (select oid from tenant_role))),
findings (how, object, what, mend) as (
    select 'danger', pg_describe_object(l.classid, l.objid, l.objsubid),
        format('it belongs to %s, who may change it and give rights to it', l.who),
        -- Code keeps running with its owner's rights: it never goes to somebody who may do more.
        case when l.classid in ('pg_namespace'::regclass, 'pg_database'::regclass)
                or (l.classid = 'pg_class'::regclass
                    and i.schema ~ '^(t_[0-9a-f]{32}|control|queue|provision|tenant_api)$')
            then 'see database, schemas, tenant_tables and control_tables'
            when l.classid = 'pg_largeobject'::regclass then format('select lo_unlink(%s)', l.objid)
            when l.classid in ('pg_class'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass,
                               'pg_statistic_ext'::regclass, 'pg_collation'::regclass, 'pg_conversion'::regclass)
            then format('drop %s %s', i.type, i.identity)
            else 'look what it does, then drop it' end
    from looked l cross join lateral pg_identify_object(l.classid, l.objid, l.objsubid) i
    -- Functions are looked at by themselves.
    where l.deptype = 'o' and l.classid <> 'pg_proc'::regclass
    union all
    select 'danger', pg_describe_object(l.classid, l.objid, l.objsubid),
        format('%s has a right on it', l.who),
        'take it from ' || l.who || ' (revoke … on … from ' || l.who || ')'
    from looked l
    where l.deptype = 'a' and coalesce(l.kind, 'tenant role') in ('cell', 'tenant', 'tenant role')
        and l.classid not in ('pg_proc'::regclass, 'pg_namespace'::regclass, 'pg_class'::regclass)
        and not (coalesce(l.kind, '') = 'cell' and l.classid = 'pg_database'::regclass))
)sql"};

constexpr catalogue_check default_privileges{
    "default_privileges", "rights that new objects are made with", "entries", R"sql(
looked as (select d.defaclrole, d.defaclnamespace, d.defaclobjtype, d.defaclacl from pg_default_acl d),
named as (
    select l.defaclrole, a.grantee, a.privilege_type, quote_ident(pg_get_userbyid(l.defaclrole)) as maker,
        -- PostgreSQL writes down what everybody gets anyway, too.
        l.defaclnamespace = 0 and exists (
            select from aclexplode(acldefault(case l.defaclobjtype when 'S' then 's' else l.defaclobjtype end,
                                              l.defaclrole)) b
            where b.grantee = a.grantee and b.privilege_type = a.privilege_type) as usual,
        case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as holder,
        case l.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
            when 'T' then 'types' else 'schemas' end as things,
        coalesce(' in schema ' || quote_ident(n.nspname), '') as place
    from looked l left join pg_namespace n on n.oid = l.defaclnamespace
    cross join lateral aclexplode(l.defaclacl) a where a.grantee <> l.defaclrole),
findings (how, object, what, mend) as (
    select case when n.grantee in (select oid from weak) or n.defaclrole in (select oid from ours)
            then 'danger' else 'notice' end,
        format('default privileges of %s for %s%s', n.maker, n.things, n.place),
        format('%s gets %s on whatever %s makes', n.holder, n.privilege_type, n.maker),
        format('alter default privileges for role %s%s revoke %s on %s from %s', n.maker, n.place,
               n.privilege_type, n.things, n.holder)
    from named n
    where not n.usual or n.defaclrole in (select oid from ours) or n.defaclrole in (select oid from tenant_role)
    union all
    select 'danger', 'default privileges of ' || o.name || ' for functions',
        'everybody may call the control plane''s next function',
        format('alter default privileges for role %I revoke execute on functions from public', o.name)
    from ours o where o.kind = 'owner' and not exists (
        select from looked l where l.defaclrole = o.oid and l.defaclnamespace = 0 and l.defaclobjtype = 'f'))
)sql"};

constexpr std::array all{database,        schemas, tenant_tables,     control_tables,
                         function_rights, owned,   default_privileges};

}  // namespace

std::span<const catalogue_check> right_checks() noexcept {
    return all;
}

}  // namespace insula::tenancy::detail
