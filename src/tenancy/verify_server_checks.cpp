#include "verify_checks.hpp"

#include <array>

namespace insula::tenancy::detail {
namespace {

constexpr catalogue_check extensions{"extensions", "extensions", "extensions", R"sql(
looked as (select e.extname::text as name, e.extowner, n.nspname::text as nspname
           from pg_extension e join pg_namespace n on n.oid = e.extnamespace),
findings (how, object, what, mend) as (
    select 'danger', 'extension ' || l.name,
        'it reaches out of this database, or past its rights: other logins, files, other servers, any code',
        format('drop extension %I, or move what needs it to another database', l.name)
    from looked l
    where l.name in ('dblink', 'postgres_fdw', 'file_fdw', 'mysql_fdw', 'oracle_fdw', 'tds_fdw', 'redis_fdw',
        'mongo_fdw',
                     'multicorn', 'adminpack', 'pg_cron', 'http', 'pg_net', 'plr', 'plsh', 'pljava', 'pageinspect',
                     'pg_surgery', 'pg_background', 'pgagent', 'orafce', 'plrust', 'aws_s3', 'aws_lambda')
        or l.name ~ '^pl(perl|python[0-9]*|tcl)u$'
    union all
    select 'danger', 'extension ' || l.name, 'it is in a tenant''s schema, and goes with that tenant for everybody',
        format('alter extension %I set schema extensions', l.name)
    from looked l where l.nspname ~ '^t_[0-9a-f]{32}$'
    union all
    select 'danger', 'extension ' || l.name, format('it belongs to %I, who may change it', r.rolname),
        format('drop extension %I; create it as a superuser', l.name)
    from looked l join pg_roles r on r.oid = l.extowner
    where l.extowner in (select oid from ours) or l.extowner in (select oid from tenant_role)
    union all
    select 'notice', 'extension ' || l.name, 'what it lets a tenant''s SQL do is not known here: read its manual',
        format('drop extension %I, unless it is needed', l.name)
    from looked l
    where l.name not in ('plpgsql', 'pgcrypto', 'uuid-ossp', 'citext', 'pg_trgm', 'btree_gin', 'btree_gist', 'hstore',
        'ltree', 'unaccent', 'fuzzystrmatch', 'intarray', 'cube', 'earthdistance', 'isn', 'pg_stat_statements',
        'tablefunc', 'bloom', 'postgis', 'vector', 'amcheck', 'pg_buffercache', 'pg_prewarm', 'pgstattuple',
        'dblink', 'postgres_fdw', 'file_fdw', 'mysql_fdw', 'oracle_fdw', 'tds_fdw', 'redis_fdw', 'mongo_fdw',
        'multicorn', 'adminpack', 'pg_cron', 'http', 'pg_net', 'plr', 'plsh', 'pljava', 'pageinspect', 'pg_surgery',
        'pg_background', 'pgagent', 'orafce', 'plrust', 'aws_s3', 'aws_lambda')
        and l.name !~ '^pl(perl|python[0-9]*|tcl)u$')
)sql"};

constexpr catalogue_check languages{"languages", "languages for code", "languages", R"sql(
looked as (select l.oid, l.lanname::text as name, l.lanowner, l.lanacl from pg_language l where l.lanispl),
findings (how, object, what, mend) as (
    select 'danger', 'language ' || l.name,
        format('%s may use it: a tenant''s SQL could run code blocks', h.holder),
        format('revoke usage on language %I from %s', l.name, h.holder)
    from looked l cross join lateral aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) a
    cross join lateral (select case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
        h(holder)
    where a.grantee in (select oid from weak))
)sql"};

constexpr catalogue_check foreign_data{"foreign_data", "other servers", "servers and mappings",
                                       R"sql(
looked as (
    select 'foreign server ' || s.srvname as object, format('drop server %I cascade', s.srvname) as mend
    from pg_foreign_server s
    union all
    select format('user mapping of %s for %s', m.usename, m.srvname),
        format('drop user mapping for %I server %I', m.usename, m.srvname) from pg_user_mappings m),
findings (how, object, what, mend) as (
    select 'danger', l.object, 'whoever may use it reaches another server, or another database of this one', l.mend
    from looked l)
)sql"};

constexpr catalogue_check large_objects{"large_objects", "large objects", "large objects", R"sql(
looked as (select m.oid, m.lomowner, m.lomacl from pg_largeobject_metadata m),
findings (how, object, what, mend) as (
    select 'danger', 'large object ' || l.oid,
        'everybody may reach it, because of lo_compat_privileges or its rights',
        format('revoke all on large object %s from public', l.oid)
    from looked l
    where current_setting('lo_compat_privileges')::boolean
        or exists (select from aclexplode(l.lomacl) a where a.grantee in (select oid from weak))
    union all
    select 'danger', 'large object ' || l.oid, format('it belongs to %I', pg_get_userbyid(l.lomowner)),
        format('select lo_unlink(%s)', l.oid)
    from looked l where l.lomowner in (select oid from weak))
)sql"};

constexpr catalogue_check tablespaces{"tablespaces", "rights on tablespaces", "tablespaces", R"sql(
looked as (select s.spcname, s.spcowner, s.spcacl from pg_tablespace s),
findings (how, object, what, mend) as (
    select 'danger', 'tablespace ' || l.spcname, format('%s may put tables into it', h.holder),
        format('revoke create on tablespace %I from %s', l.spcname, h.holder)
    from looked l cross join lateral aclexplode(coalesce(l.spcacl, acldefault('t', l.spcowner))) a
    cross join lateral (select case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
        h(holder)
    where a.grantee in (select oid from weak))
)sql"};

constexpr catalogue_check settings{"settings", "settings of roles, database and server", "settings",
                                   R"sql(
known as (select oid from ours union select oid from tenant_role union select 0::oid),
looked as (
    select format('setting %s of %s', split_part(c.text, '=', 1), concat_ws(' in ',
               case when s.setrole <> 0 then 'role ' || quote_ident(pg_get_userbyid(s.setrole)) end,
               case when s.setdatabase <> 0 then 'database ' || quote_ident(current_database()) end)) as object,
        split_part(c.text, '=', 1) as name, c.text,
        case when s.setrole = 0 then format('alter database %I reset %s', current_database(),
            split_part(c.text, '=', 1))
             else format('alter role %I %s reset %s', pg_get_userbyid(s.setrole),
                         case when s.setdatabase <> 0 then format('in database %I', current_database()) else '' end,
                         split_part(c.text, '=', 1)) end as mend
    from pg_db_role_setting s cross join lateral unnest(s.setconfig) c(text)
    where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
        and s.setrole in (select oid from known)
    union all
    select 'setting ' || g.name || ' of the server', g.name, g.name || '=' || g.setting,
        format('alter system reset %s', g.name)
    from pg_settings g
    where g.name in ('lo_compat_privileges', 'allow_system_table_mods', 'session_replication_role')),
findings (how, object, what, mend) as (
    select 'danger', l.object, format('%s changes who a session is, or what its names mean', l.text), l.mend
    from looked l
    where l.name in ('role', 'session_authorization', 'search_path', 'session_preload_libraries',
                     'local_preload_libraries', 'row_security', 'dynamic_library_path')
        or (l.name in ('lo_compat_privileges', 'allow_system_table_mods') and l.text !~ '=(off|false|no|0)$')
        or (l.name = 'session_replication_role' and l.text !~ '=origin$')
    union all
    select 'danger', 'parameter ' || p.parname,
        format('%s may change it for itself', h.holder),
        format('revoke %s on parameter %s from %s', a.privilege_type, p.parname, h.holder)
    from pg_parameter_acl p cross join lateral aclexplode(p.paracl) a
    cross join lateral (select case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
        h(holder)
    where a.grantee in (select oid from known))
)sql"};

constexpr catalogue_check publications{"publications", "publications and subscriptions", "of both",
                                       R"sql(
looked as (
    select 'publication ' || p.pubname as object, format('drop publication %I', p.pubname) as mend,
        'whoever replicates it reads the tables of tenants' as what
    from pg_publication p
    where p.puballtables
        or exists (select from pg_publication_rel r join pg_class c on c.oid = r.prrelid
                   join pg_namespace n on n.oid = c.relnamespace
                   where r.prpubid = p.oid and n.nspname ~ '^(t_[0-9a-f]{32}|control|queue)$')
        or exists (select from pg_publication_namespace m join pg_namespace n on n.oid = m.pnnspid
                   where m.pnpubid = p.oid and n.nspname ~ '^(t_[0-9a-f]{32}|control|queue)$')
    union all
    select 'subscription ' || s.subname, format('drop subscription %I', s.subname),
        'another server writes into this database past every right'
    from pg_subscription s where s.subdbid = (select oid from pg_database where datname = current_database())),
findings (how, object, what, mend) as (
    select 'notice', l.object, l.what, l.mend || ', unless this is meant' from looked l)
)sql"};

constexpr std::array all{extensions,  languages, foreign_data, large_objects,
                         tablespaces, settings,  publications};

}  // namespace

std::span<const catalogue_check> server_checks() noexcept {
    return all;
}

}  // namespace insula::tenancy::detail
