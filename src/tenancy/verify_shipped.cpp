// The control plane's own code, as this program's SQL makes it, against what the database has.

#include "verify_shipped.hpp"

#include "insula/core/json_writer.hpp"
#include "insula/pg/embedded_migrations.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace insula::tenancy::detail {
namespace {

// Triggers are compared as sets of words, because PostgreSQL writes them in its own way; the few
// functions without a text of their own likewise. Functions of the provision schema are made by
// bootstrap, which may be repeated, and belong to whoever ran it or to one of three roles.
constexpr const char* question = R"sql(
head as (select (select max(m.number) from control.migration m) as found, {head} as known),
shipped as materialized (
    select s.* from jsonb_to_recordset({shipped}::jsonb)
        as s(kind text, schema text, name text, expression text, settings text[], definer boolean, language text,
             owner text, definition text)
    cross join head h where h.found = h.known),
function as materialized (
    select p.oid, n.nspname::text as schema, p.proname::text as name, l.lanname::text as language, p.prosecdef,
        coalesce((select array_agg(c order by c collate "C") from unnest(p.proconfig) c), '{}') as settings,
        pg_get_userbyid(p.proowner)::text as owner, 
        format('%s %s', case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
               p.oid::regprocedure) as object,
        coalesce(regexp_replace(lower(pg_get_function_sqlbody(p.oid)), '::text|pg_catalog\.|[()\s;]', '', 'g'),
                 p.prosrc) as body
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
    where n.nspname in ('control', 'queue', 'provision', 'tenant_api')),
trigger as materialized (
    select g.tgname::text as name, g.tgrelid::regclass::text as relation, g.tgenabled, g.tgisinternal,
        (select string_agg(w, ' ' order by w) from regexp_split_to_table(
             lower(regexp_replace(pg_get_triggerdef(g.oid), '[()]', ' ', 'g')), '\s+') w where w <> '') as words
    from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('control', 'queue', 'provision', 'tenant_api')),
wanted_trigger as (
    select s.name, s.schema as relation, s.definition,
        (select string_agg(w, ' ' order by w) from regexp_split_to_table(
             lower(regexp_replace(s.definition, '[()]', ' ', 'g')), '\s+') w where w <> '') as words
    from shipped s where s.kind = 'trigger'),
compared as (
    select f.*, s.name is not null as known, s.definition, s.owner as maker, array_to_string(array[
        case when f.body is distinct from coalesce(
                 regexp_replace(lower('return' || s.expression), '::text|pg_catalog\.|[()\s;]', '', 'g'),
                 split_part(s.definition, '$$', 2))
             then 'its text' end,
        case when f.prosecdef <> s.definer then 'whose rights it runs with' end,
        case when f.settings is distinct from s.settings then 'its settings' end,
        case when f.language <> s.language then 'its language' end,
        case when f.owner <> s.owner then 'its owner' end], ', ') as changed
    from function f left join shipped s on s.kind = 'function' and s.schema = f.schema and s.name = f.name
    cross join head h where h.found = h.known),
judged as (
    select c.*, c.known and exists (select from compared o where o.schema = c.schema and o.name = c.name
                                    and o.oid <> c.oid and o.changed = '') as second
    from compared c),
looked as (select from function union all select from trigger where not tgisinternal),
findings (how, object, what, mend) as (
    select 'notice', 'migration ' || h.found, format('the database is newer than this program (%s), which does not '
        'know its code', h.known), 'run the insula that made it'
    from head h where h.found is distinct from h.known
    union all
    select 'danger', j.object, format('it is not what this version makes: %s', j.changed), case j.schema
        when 'provision' then 'insula bootstrap'
        else format('%s; alter %s owner to %I', j.definition, j.object, j.maker) end
    from judged j where j.known and j.changed <> '' and not j.second
    union all
    -- The same name with other arguments is taken where it fits better.
    select case when j.second then 'danger' else 'notice' end, j.object, 'this version makes no such function',
        'drop ' || j.object
    from judged j where not j.known or (j.second and j.changed <> '')
    union all
    select 'danger', format('function %s.%s', s.schema, s.name), 'it is missing', case s.schema
        when 'provision' then 'insula bootstrap' else 'restore the database from a backup' end
    from shipped s where s.kind = 'function'
        and not exists (select from function f where f.schema = s.schema and f.name = s.name)
    union all
    select 'danger', format('trigger %I on %s', w.name, w.relation),
        case when t.name is null then 'it is missing, so nothing guards what is written'
            else 'it is not what this version makes, or not where it was' end,
        case when t.name is null then w.definition
            else format('drop trigger %I on %s; %s', w.name, w.relation, w.definition) end
    from wanted_trigger w left join trigger t on t.name = w.name and t.relation = w.relation
    where t.words is distinct from w.words
    union all
    select 'danger', format('trigger %I on %s', t.name, t.relation), case when t.tgisinternal
            then 'a foreign key''s check is switched off' else 'it is switched off, or runs for replicas only' end,
        case when t.tgisinternal then format('alter table %s enable trigger all', t.relation)
            else format('alter table %s enable trigger %I', t.relation, t.name) end
    from trigger t where t.tgenabled <> 'O'
    union all
    select 'danger', format('trigger %I on %s', t.name, t.relation), 'this version makes no such trigger',
        format('drop trigger %I on %s', t.name, t.relation)
    from trigger t cross join head h
    where h.found = h.known and not t.tgisinternal
        and not exists (select from wanted_trigger w where w.name = t.name and w.relation = t.relation)
    union all
    select 'danger', format('rule %I on %s', r.rulename, r.ev_class::regclass),
        'it puts other statements in the place of ours', format('drop rule %I on %s', r.rulename, r.ev_class::regclass)
    from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('control', 'queue') and c.relkind in ('r', 'p'))
)sql";

/// A place in a text that is read from front to back.
class reader {
public:
    explicit reader(std::string_view text) : text_(text) {}
    /// What is before the next `mark`, which is passed over; everything, where there is none.
    std::string_view until(std::string_view mark) {
        const auto at = std::min(text_.find(mark), text_.size());
        const auto before = text_.substr(0, at);
        text_.remove_prefix(std::min(at + mark.size(), text_.size()));
        return before;
    }
    std::string_view rest() const noexcept { return text_; }
    bool done() const noexcept { return text_.empty(); }

private:
    std::string_view text_;
};

std::string_view next_word(std::string_view text, std::string_view after) {
    const auto at = text.find(after);
    if (at == std::string_view::npos) {
        return {};
    }
    text.remove_prefix(at + after.size());
    return text.substr(0, text.find_first_of(" \n("));
}

/// "set a = b set c = d, e" at the ends of a function's head, as PostgreSQL keeps them.
std::vector<std::string> settings_of(std::string_view head) {
    std::vector<std::string> all;
    reader lines(head);
    (void)lines.until("\nset ");
    while (!lines.done()) {
        reader line(lines.until("\n"));
        while (!line.done()) {
            reader one(line.until(" set "));
            const std::string name(one.until(" = "));
            all.push_back(name + "=" + std::string(one.rest()));
        }
        if (lines.rest().starts_with("set ")) {
            (void)lines.until("set ");
        } else {
            (void)lines.until("\nset ");
        }
    }
    std::ranges::sort(all);
    return all;
}

void write_function(json_writer& out, std::string_view text, const role_names& roles) {
    const bool quoted = text.find("as $$") != std::string_view::npos;
    reader parts(text);
    const auto head = parts.until(quoted ? "as $$" : "\nreturn ");
    reader name(next_word(head, "function "));
    const auto schema = name.until(".");
    out.begin_object()
        .member("kind", "function")
        .member("schema", schema)
        .member("name", name.rest())
        .key("settings")
        .begin_array();
    for (const auto& one : settings_of(head)) {
        out.value(one);
    }
    out.end_array()
        .member("definer", head.find("security definer") != std::string_view::npos)
        .member("language", next_word(head, "language "));
    if (!quoted) {
        out.member("expression", parts.rest());
    }
    if (schema != "provision") {
        out.member("owner", roles.owner());
    }
    const auto verb = head.find("function ");
    out.member("definition", "create or replace " + std::string(text.substr(verb))).end_object();
}

void write_trigger(json_writer& out, std::string_view text) {
    out.begin_object()
        .member("kind", "trigger")
        .member("schema", next_word(text, " on "))
        .member("name", next_word(text, "trigger "))
        .member("definition", text)
        .end_object();
}

/// Every "create function" and "create trigger" of a file; each begins a line, and a function's
/// end is the first semicolon that ends a line outside of its $$.
void write_code(json_writer& out, std::string_view sql, const role_names& roles) {
    constexpr std::array functions{std::string_view("create function "),
                                   std::string_view("create or replace function ")};
    constexpr std::array triggers{std::string_view("create trigger "),
                                  std::string_view("create constraint trigger ")};
    const auto begins = [](std::string_view text, const auto& words) {
        return std::ranges::any_of(words, [text](auto word) { return text.starts_with(word); });
    };
    for (reader lines(sql); !lines.done(); (void)lines.until("\n")) {
        const auto rest = lines.rest();
        if (begins(rest, functions)) {
            const auto body = rest.find("as $$");
            const auto plain = rest.find(";\n");
            const auto end = body < plain ? rest.find("$$;", body + 5) + 2 : plain;
            write_function(out, rest.substr(0, end), roles);
        } else if (begins(rest, triggers)) {
            write_trigger(out, rest.substr(0, rest.find(";\n")));
        }
    }
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
        text.replace(at, what.size(), by);
    }
}

}  // namespace

std::string shipped_code_question(const role_names& roles) {
    std::string code;
    json_writer out(code);
    out.begin_array();
    for (const auto files :
         {pg::embedded_bootstrap_migrations(), pg::embedded_control_migrations()}) {
        for (const auto& file : files) {
            write_code(out, expand_names(file.sql, roles, "{database}"), roles);
        }
    }
    out.end_array();
    // A unit takes this for the place of a tenant's schema; to JSON both are the same.
    replace_all(code, "{t}", "{\\u0074}");
    std::string text = question;
    replace_all(text, "{head}", std::to_string(pg::embedded_control_migrations().back().number));
    replace_all(text, "{shipped}", quote_literal(code));
    return text;
}

}  // namespace insula::tenancy::detail
