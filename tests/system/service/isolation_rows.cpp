#include "isolation_rows.hpp"

#include <algorithm>
#include <iterator>
#include <sstream>

namespace insula::test {
namespace {

// A schema of the test's own. `about`: rows that match, in every table but those of other tenants'.
constexpr const char* functions = R"sql(
create schema if not exists watch;
create or replace function watch.tables(p_schemas text[])
    returns table (schema_name text, table_name text, kind "char", whole boolean) language sql as $$
    select n.nspname::text, c.relname::text, c.relkind, n.nspname = any (p_schemas)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm', 'S') and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'watch')
      and (n.nspname !~ '^t_[0-9a-f]{32}$' or n.nspname = any (p_schemas))
$$;
create or replace function watch.catalogue(p_schemas text[]) returns text language sql as $$
    select md5(concat(
        (select string_agg(n::text, E'\n' order by n.oid) from pg_namespace n
         where n.nspname = any (p_schemas)),
        (select string_agg(concat_ws(' ', c.oid, c.relname, c.relkind, c.relowner, c.relacl,
                                     a.attname, a.atttypid, a.attnotnull, a.attacl, a.attisdropped),
                           E'\n' order by c.oid, a.attnum)
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         left join pg_attribute a on a.attrelid = c.oid where n.nspname = any (p_schemas)),
        (select string_agg(concat_ws(' ', r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolcanlogin,
                                     r.rolcreaterole, r.rolconfig), E'\n' order by r.oid)
         from pg_roles r where r.rolname = any (p_schemas)),
        (select string_agg(m::text, E'\n' order by m.roleid, m.member) from pg_auth_members m
         join pg_roles r on r.oid in (m.roleid, m.member) where r.rolname = any (p_schemas))))
$$;
create or replace function watch.about(p_pattern text, p_schemas text[], p_known jsonb)
    returns table (name text, version text, digest text) language plpgsql as $$
declare
    t record;
begin
    for t in select * from watch.tables(p_schemas) loop
        name := t.schema_name || '.' || t.table_name;
        digest := null;
        if t.kind = 'S' then
            continue when not t.whole;
            execute format('select last_value::text || is_called from %I.%I', t.schema_name,
                           t.table_name) into digest;
            version := digest;
        else
            -- Every row's place and the transaction that wrote it: cheap, and the same when nothing
            -- was written.
            execute format('select concat(count(*), md5(string_agg(concat(x.ctid, x.xmin), null)))'
                           ' from %I.%I x', t.schema_name, t.table_name) into version;
            if version is distinct from p_known ->> name then
                execute format('select concat(string_agg(md5(x::text), '' '' order by md5(x::text)))'
                               ' from %I.%I x where $2 or x::text ~ $1', t.schema_name,
                               t.table_name) into digest using p_pattern, t.whole;
            end if;
        end if;
        return next;
    end loop;
    name := 'catalogue';
    digest := watch.catalogue(p_schemas);
    version := digest;
    return next;
end
$$;
create or replace function watch.ids(p_pattern text, p_schemas text[]) returns setof text
language plpgsql as $$
declare
    t record;
begin
    for t in select w.schema_name, w.table_name, a.attname
             from watch.tables(p_schemas) w
             join pg_index i on i.indisprimary and i.indnkeyatts = 1
                 and i.indrelid = format('%I.%I', w.schema_name, w.table_name)::regclass
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                 and a.atttypid = 'uuid'::regtype
             where w.kind <> 'S' loop
        return query execute format('select x.%I::text from %I.%I x where x::text ~ $1', t.attname,
                                    t.schema_name, t.table_name) using p_pattern;
    end loop;
end
$$;
)sql";

constexpr int rounds_max = 5;

std::string escaped(std::string_view word) {
    std::string out;
    for (const char c : word) {
        if (std::isalnum(static_cast<unsigned char>(c)) == 0) {
            out += '\\';
        }
        out += c;
    }
    return out;
}

/// Whether all rows of a digest are in another one, too.
bool holds_all(const std::string& all, const std::string& some) {
    const auto each = [](const std::string& text) {
        std::istringstream in(text);
        return std::vector<std::string>(std::istream_iterator<std::string>(in), {});
    };
    return std::ranges::includes(each(all), each(some));
}

}  // namespace

rows_about::rows_about(deployment& where, std::vector<std::string> words,
                       std::vector<std::string> schemas)
    : where_(where), words_(std::move(words)), schemas_("{") {
    where_.database().query_admin(functions);
    for (const auto& schema : schemas) {
        schemas_ += (schemas_.size() > 1 ? "," : "") + schema;
        words_.push_back(schema);
    }
    schemas_ += "}";
    for (int round = 0; round < rounds_max; ++round) {
        const auto known = words_.size();
        for (const auto& found : where_.database().query_admin(
                 "select distinct i from watch.ids($1, $2::text[]) i", {pattern(), schemas_})) {
            if (std::ranges::find(words_, found.front()) == words_.end()) {
                words_.push_back(found.front());
            }
        }
        if (words_.size() == known) {
            return;
        }
    }
    throw std::runtime_error("what is about a tenant does not come to an end");
}

std::string rows_about::pattern() const {
    std::string all;
    for (const auto& word : words_) {
        all += (all.empty() ? "" : "|") + escaped(word);
    }
    return all;
}

digests rows_about::now() {
    json::object known;
    for (const auto& [name, version] : versions_) {
        known[name] = version;
    }
    digests all;
    for (auto& one : where_.database().query_admin(
             "select name, version, digest from watch.about($1, $2::text[], $3::jsonb)",
             {pattern(), schemas_, json::serialize(known)})) {
        if (one[2] != null_text) {
            versions_[one[0]] = std::move(one[1]);
            last_[one[0]] = std::move(one[2]);
        }
        all[one[0]] = last_.at(one[0]);
    }
    return all;
}

std::string rows_about::difference(const digests& before, const digests& after,
                                   const std::vector<std::string>& but) {
    std::string changed;
    const auto note = [&](const std::string& name, bool added_only) {
        if (std::ranges::none_of(but, [&](const auto& one) {
                return name.starts_with(one) || (added_only && '+' + name == one);
            })) {
            changed += (changed.empty() ? "" : ", ") + name;
        }
    };
    for (const auto& [name, digest] : before) {
        const auto found = after.find(name);
        if (found == after.end() || found->second != digest) {
            note(name, found != after.end() && holds_all(found->second, digest));
        }
    }
    for (const auto& [name, digest] : after) {
        if (!before.contains(name)) {
            note(name, false);
        }
    }
    return changed;
}

}  // namespace insula::test
