#include "verify_checks.hpp"

#include <array>

namespace insula::tenancy::detail {
namespace {

constexpr catalogue_check functions{"functions", "owners and search_path of functions", "functions",
                                    R"sql(
looked as (
    select p.oid, p.proowner, p.prosecdef, n.nspname::text as nspname, t.id is not null as tenants,
        (select substr(c, 13) from unnest(p.proconfig) c where c like 'search\_path=%') as path,
        case when n.nspname in ('control', 'queue', 'tenant_api') then array['owner']
             when n.nspname = 'provision' then array['provisioner', 'schema_owner', 'gatekeeper']
             when t.id is not null then array['schema_owner'] end as makers
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace left join tenant t on t.schema = n.oid
    where p.oid >= 16384
        and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                        and d.deptype = 'e')),
temporary as (
    select a.grantee from pg_database d cross join lateral aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    where d.datname = current_database() and a.privilege_type = 'TEMPORARY' and a.grantee <> d.datdba),
named as (
    select l.*, r.rolname, r.rolsuper, o.kind, format('function %s', l.oid::regprocedure) as object,
        (l.makers is not null and not coalesce(o.kind = any (l.makers), false)
         and not (r.rolsuper and not l.prosecdef and l.nspname = 'provision'))
            or (l.makers is null and (o.kind is not null or l.proowner in (select oid from tenant_role)))
            as foreign_owner,
        format('%s %s', case (select prokind from pg_proc where oid = l.oid) when 'p' then 'procedure'
                        when 'a' then 'aggregate' else 'function' end, l.oid::regprocedure) as target
    from looked l join pg_roles r on r.oid = l.proowner left join ours o on o.oid = l.proowner),
findings (how, object, what, mend) as (
    -- Where nobody makes temporary tables, nobody has one to put in the way.
    select case when n.makers is null and n.path is not null and not n.path ~ '\$user|(^|, *)"?public"?(,|$)'
            and not exists (select from temporary) then 'notice' else 'danger' end, n.object,
        case when n.path is null then 'it runs with its owner''s rights and its caller''s search_path: what the caller '
                                      'puts in the way is run as the owner'
             else format('it runs with its owner''s rights and looks for names in %s', n.path) end,
        format('alter %s set search_path = pg_catalog, pg_temp', n.target)
    from named n
    where n.prosecdef and not n.foreign_owner
        and (n.path is null or n.path !~ '(^|, *)"?pg_temp"?$' or n.path ~ '\$user|(^|, *)"?public"?(,|$)')
    union all
    -- Its owner may have put code into it, so it never goes to somebody who may do more.
    select 'danger', n.object, format('it belongs to %I, who may put other code in its place', n.rolname),
        case when n.makers is null or n.tenants then format('drop %s', n.target) else 'see shipped_code below' end
    from named n where n.foreign_owner
    union all
    select 'danger', n.object, format('it runs as %I, who owns every tenant''s tables', n.rolname),
        format('alter %s security invoker', n.target)
    from named n where n.tenants and n.prosecdef)
)sql"};

// A tenant's SQL runs on a login that may become other tenants of its cell. So no code of a
// tenant's schema may do what the service alone does: choose the role. Between two words of a text
// may be blanks, comments and the quotes of a name.
constexpr catalogue_check role_changing_code{
    "role_changing_code", "code that could change the role", "functions and expressions", R"sql(
gap as (select '(\s|"|/\*.*\*/|--[^\n]*\n)+' as any, '(\s|"|/\*.*\*/|--[^\n]*\n)*' as some),
place as (
    select c.oid, c.relnamespace, format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid >= 16384 and n.nspname <> 'pg_toast'),
-- What runs beneath a name of its own: an aggregate's functions are called without their names.
called as (
    select a.aggfnoid::oid as oid, f.function::oid as function
    from pg_aggregate a cross join lateral unnest(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
        a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]) f(function)
    where a.aggfnoid::oid >= 16384),
code as (
    select format('%s %s', case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
                  p.oid::regprocedure) as object,
        p.prosrc as text, array_to_string(p.proconfig, ' ') as configured, p.prosqlbody::text as tree,
        format('drop %s %s', case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
               p.oid::regprocedure) as mend,
        l.lanname not in ('internal', 'c') as dynamic,
        n.nspname::text as nspname,
        (l.lanname in ('c', 'internal') and p.prokind <> 'a') or exists (
            select from called a where a.oid = p.oid and a.function = 'pg_catalog.set_config'::regproc) as opaque
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
    where p.oid >= 16384
        and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                        and d.deptype = 'e')
    union all
    select 'default of a column of ' || p.name, null, null, d.adbin::text,
        'alter table … alter column … drop default', false, '', false
    from pg_attrdef d join place p on p.oid = d.adrelid
    union all
    select 'view or rule on ' || p.name, null, null, r.ev_action::text || r.ev_qual::text, 'drop it', false, '', false
    from pg_rewrite r join place p on p.oid = r.ev_class
    union all
    select format('policy %I on %s', y.polname, p.name), null, null, concat(y.polqual::text, y.polwithcheck::text),
        format('drop policy %I on %s', y.polname, p.name), false, '', false
    from pg_policy y join place p on p.oid = y.polrelid
    union all
    select format('trigger %I on %s', g.tgname, p.name), null, null, g.tgqual::text,
        format('drop trigger %I on %s', g.tgname, p.name), false, '', false
    from pg_trigger g join place p on p.oid = g.tgrelid where g.tgqual is not null
    union all
    select format('constraint %I on %s', k.conname, p.name), null, null, k.conbin::text,
        format('alter table %s drop constraint %I', p.name, k.conname), false, '', false
    from pg_constraint k join place p on p.oid = k.conrelid where k.conbin is not null
    union all
    select format('constraint %I on domain %s', k.conname, k.contypid::regtype), null, null, k.conbin::text,
        format('alter domain %s drop constraint %I', k.contypid::regtype, k.conname), false, '', false
    from pg_constraint k where k.contypid >= 16384 and k.conbin is not null
    union all
    select format('default of domain %s', t.oid::regtype), null, null, t.typdefaultbin::text,
        format('alter domain %s drop default', t.oid::regtype), false, '', false
    from pg_type t where t.oid >= 16384 and t.typdefaultbin is not null
    union all
    select 'partition key of ' || p.name, null, null, k.partexprs::text, 'drop it', false, '', false
    from pg_partitioned_table k join place p on p.oid = k.partrelid where k.partexprs is not null
    union all
    select format('statistics %I on %s', s.stxname, p.name), null, null, s.stxexprs::text,
        format('drop statistics %I.%I', n.nspname, s.stxname), false, '', false
    from pg_statistic_ext s join place p on p.oid = s.stxrelid join pg_namespace n on n.oid = s.stxnamespace
    where s.stxexprs is not null
    union all
    select format('index %s', i.indexrelid::regclass), null, null, concat(i.indexprs::text, i.indpred::text),
        format('drop index %s', i.indexrelid::regclass), false, '', false
    from pg_index i join place p on p.oid = i.indrelid where i.indexprs is not null or i.indpred is not null),
looked as (select c.*,
               c.text ~* ('\mset' || g.any || '(local|session)' || g.any || '(role|session_authorization)\M')
               or c.text ~* ('\mset' || g.any || '((local|session)' || g.any || ')?session' || g.any
                             || 'authorization\M')
               or c.text ~* ('\mset' || g.any || '(role|session_authorization)\M(?!' || g.some || '=)')
               or c.text ~* ('(^|;|\m(begin|then|else|loop)\M)' || g.some || 'set' || g.any
                             || '(role|session_authorization)' || g.some || '=')
               or c.text ~* ('\mreset' || g.any || '(role|session' || g.any
                             || 'authorization|session_authorization|all)\M')
               or c.text ~* ('\mdiscard' || g.any || 'all\M')
               -- A name in escapes may be any name.
               or c.text ~* '\mu&"'
               -- Another setting, named in plain words, is none of ours.
               or regexp_replace(c.text, 'set_config\s*\(\s*''(?!role''|session_authorization'')[a-z_.]+''\s*,', '',
                                 'gi') ~* '\mset_config(_by_name)?\M'
               or c.configured ~ '\m(role|session_authorization)='
               or c.tree like '%:funcid ' || 'pg_catalog.set_config'::regproc::oid || ' %' as changes
           from code c cross join gap g),
findings (how, object, what, mend) as (
    select 'danger', l.object,
        case when l.changes then 'it could change the role, and so reach another tenant of the same cell'
            else 'it calls compiled code of the server under a name of its own, so that nobody sees what it does' end,
        l.mend
    from looked l where l.changes or l.opaque
    union all
    select 'notice', min(l.object), format('it puts SQL together as it runs; see that no text from outside gets into '
        'it (%s of this kind)', count(*)), 'nothing, when it is so'
    from looked l
    where l.dynamic and l.text ~* '\m(execute|query_to_xml\w*|ts_stat|ts_rewrite)\M'
        and l.nspname not in ('control', 'queue', 'provision', 'tenant_api')
    group by regexp_replace(l.object, 't_[0-9a-f]{32}', 't'))
)sql"};

constexpr catalogue_check triggers{"triggers", "triggers and event triggers", "triggers", R"sql(
looked as (
    select g.oid, g.tgname, c.oid::regclass::text as relation, n.nspname::text as nspname,
        t.id is not null as tenants,
        p.oid as function, p.prosecdef, p.proowner, p.pronamespace, o.kind, c.relname
    from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_proc p on p.oid = g.tgfoid left join tenant t on t.schema = n.oid left join ours o on o.oid = p.proowner
    where not g.tgisinternal and n.nspname not in ('pg_catalog', 'information_schema')
    union all
    select e.oid, e.evtname, null, null, false, e.evtfoid, null, null, null, null, null from pg_event_trigger e),
findings (how, object, what, mend) as (
    select 'danger', 'event trigger ' || l.tgname,
        format('it runs %s with the rights of whoever makes or changes anything: also of those who provision',
               l.function::regprocedure),
        format('drop event trigger %I', l.tgname)
    from looked l where l.relation is null
    union all
    select 'danger', format('trigger %I on %s', l.tgname, l.relation),
        format('it runs %s of %I, with the rights of whoever writes', l.function::regprocedure,
               pg_get_userbyid(l.proowner)),
        format('drop trigger %I on %s', l.tgname, l.relation)
    from looked l
    where (l.nspname in ('control', 'queue') and l.kind is distinct from 'owner')
        or (l.tenants and l.kind is distinct from 'schema_owner' and l.pronamespace <> 'pg_catalog'::regnamespace)
    union all
    select 'notice', format('trigger %I on %s', l.tgname, min(l.relation)),
        format('it runs %s with the rights of whoever writes, a migration''s too; see that it can be trusted '
               '(%s of this name in tenants'' schemas)', min(l.function::regprocedure::text), count(*)),
        'nothing, when it can'
    from looked l
    where l.tenants and not l.prosecdef and l.kind = 'schema_owner' group by l.tgname, l.relname)
)sql"};

constexpr catalogue_check cross_references{
    "cross_references", "what in a tenant's schema reaches out of it, or into it", "references",
    R"sql(
place as materialized (
    select 'pg_class'::regclass::oid as classid, oid as objid, relnamespace as schema from pg_class
    union all select 'pg_proc'::regclass, oid, pronamespace from pg_proc
    union all select 'pg_type'::regclass, oid, typnamespace from pg_type
    union all select 'pg_constraint'::regclass, oid, connamespace from pg_constraint
    union all select 'pg_rewrite'::regclass, r.oid, c.relnamespace from pg_rewrite r
        join pg_class c on c.oid = r.ev_class
    union all select 'pg_attrdef'::regclass, d.oid, c.relnamespace from pg_attrdef d
        join pg_class c on c.oid = d.adrelid
    union all select 'pg_trigger'::regclass, g.oid, c.relnamespace from pg_trigger g
        join pg_class c on c.oid = g.tgrelid
    union all select 'pg_policy'::regclass, y.oid, c.relnamespace from pg_policy y
        join pg_class c on c.oid = y.polrelid),
tenant_schema as materialized (
    select n.oid, n.nspname::text as name from pg_namespace n where n.nspname ~ '^t_[0-9a-f]{32}$'),
our_schema as materialized (
    select n.oid from pg_namespace n where n.nspname in ('control', 'queue', 'provision', 'tenant_api')),
looked as (
    select d.classid, d.objid, d.refclassid, d.refobjid, a.schema, b.schema as refschema
    from pg_depend d join place a on a.classid = d.classid and a.objid = d.objid
    join place b on b.classid = d.refclassid and b.objid = d.refobjid
    where a.schema in (select oid from tenant_schema) or b.schema in (select oid from tenant_schema)
        or (b.schema in (select oid from our_schema) and a.schema not in (select oid from our_schema))),
strange as (
    select distinct l.classid, l.objid, l.refclassid, l.refobjid,
        l.schema in (select oid from tenant_schema) or l.refschema in (select oid from tenant_schema) as tenants
    from looked l
    where l.schema <> l.refschema
        and not l.schema = 'pg_toast'::regnamespace
        and l.refschema not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace,
                                'pg_toast'::regnamespace)
        and not exists (select from pg_depend e where e.classid = l.refclassid and e.objid = l.refobjid
                        and e.deptype = 'e')),
findings (how, object, what, mend) as (
    -- Who may read what stands on the control plane is told by other_relations.
    select case when s.tenants then 'danger' else 'notice' end, pg_describe_object(s.classid, s.objid, 0),
        format('it stands on %s: whoever uses it reaches that with its owner''s rights',
               pg_describe_object(s.refclassid, s.refobjid, 0)),
        'drop it' || case when s.tenants then '' else ', unless it is meant' end
    from strange s
    union all
    select 'danger', format('function %s', p.oid::regprocedure), format('its text names %s, another schema', m[1]),
        format('drop function %s', p.oid::regprocedure)
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    cross join lateral regexp_matches(p.prosrc, 't_[0-9a-f]{32}', 'g') m
    where p.oid >= 16384 and m[1] <> n.nspname
        and m[1] in (select name from tenant_schema))
)sql"};

constexpr std::array all{functions, role_changing_code, triggers, cross_references};

}  // namespace

std::span<const catalogue_check> code_checks() noexcept {
    return all;
}

}  // namespace insula::tenancy::detail
