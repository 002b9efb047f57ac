#include "insula/tenancy/verify.hpp"

#include "verify_checks.hpp"
#include "verify_shipped.hpp"

#include <algorithm>

namespace insula::tenancy {
namespace {

constexpr std::chrono::seconds check_limit{120};

// One row without a finding, or one for each; the number of objects looked at in all of them. What
// is found may be gone by the time that its name is looked up.
constexpr const char* last_part =
    ", told as materialized (select how::text as how, coalesce(object, 'something that is gone') "
    "as"
    " object, coalesce(what, 'it cannot be described any more') as what,"
    " coalesce(mend, 'run this again') as mend from findings)"
    " select (select count(*) from looked), (select count(*) from told where how = 'danger'),"
    " (select count(*) from told where how <> 'danger'), f.how, f.object, f.what, f.mend"
    " from (values (1)) one left join (select * from told order by how, object, what limit $2) f"
    " on true";

runtime::awaitable<pg::pg_result<>> begin_look(pg::lease& on) {
    if (auto begun = co_await on.begin(pg::isolation::repeatable_read, true); !begun) {
        co_return begun.error();
    }
    pg::unit pin;
    // What somebody has put into a schema of the default path is not what we ask with. And the
    // statements are large: compiling each costs more than running it; and what 10,000 tenants have
    // must fit into a hash table, or is compared each with each.
    pin.add_once(
        "select set_config('search_path', 'pg_catalog, pg_temp', true), set_config('jit', 'off',"
        " true), set_config('work_mem', '64MB', true)");
    if (auto pinned = co_await on.exec(std::move(pin)); !pinned) {
        co_return pinned.error();
    }
    co_return pg::pg_result<>();
}

void read_findings(const pg::result_set& rows, isolation_check& into) {
    into.looked_at = rows.front().get<std::int64_t>(0);
    into.more_dangers = rows.front().get<std::int64_t>(1);
    into.more_notices = rows.front().get<std::int64_t>(2);
    for (const auto row : rows) {
        if (row.is_null(3)) {
            continue;
        }
        const bool notice = row.get<std::string>(3) == "notice";
        --(notice ? into.more_notices : into.more_dangers);
        into.findings.push_back({notice ? severity::notice : severity::danger,
                                 row.get<std::string>(4), row.get<std::string>(5),
                                 row.get<std::string>(6)});
    }
}

/// Error: the connection is lost. What the server refuses is the check's trouble.
runtime::awaitable<pg::pg_result<isolation_check>> look(pg::lease& on, const role_names& roles,
                                                        const detail::catalogue_check& what) {
    isolation_check done{.name = what.name, .title = what.title, .of = what.of};
    pg::unit work;
    work.add_once(std::string(detail::common_parts()) + what.sql + last_part, roles.prefix(),
                  std::int64_t{findings_max});
    pg::unit_options limits = pg::lease::exclusive_defaults();
    limits.statement_timeout = check_limit;
    auto answer = co_await on.exec(std::move(work), limits);
    if (answer) {
        read_findings(answer->front(), done);
        co_return done;
    }
    if (answer.error().lost()) {
        co_return answer.error();
    }
    done.trouble = answer.error().message;
    (void)co_await on.rollback();
    if (auto again = co_await begin_look(on); !again) {
        co_return again.error();
    }
    co_return done;
}

}  // namespace

std::string_view name(severity how) noexcept {
    switch (how) {
        case severity::danger:
            return "danger";
        case severity::notice:
            return "notice";
        case severity::accepted:
            break;
    }
    return "accepted";
}

std::int64_t isolation_report::count(severity how) const noexcept {
    std::int64_t found = 0;
    for (const auto& check : checks) {
        found += std::ranges::count(check.findings, how, &isolation_finding::how);
        found += how == severity::danger   ? check.more_dangers
                 : how == severity::notice ? check.more_notices
                                           : 0;
    }
    return found;
}

bool isolation_report::isolated() const noexcept {
    return trouble.empty() && count(severity::danger) == 0 &&
           std::ranges::all_of(checks, [](const auto& check) { return check.trouble.empty(); });
}

runtime::awaitable<pg::pg_result<std::vector<isolation_check>>> examine_isolation(
    pg::lease& app, const role_names& roles, const isolation_progress& tell) {
    if (auto begun = co_await begin_look(app); !begun) {
        co_return begun.error();
    }
    std::vector<isolation_check> done;
    const auto shipped_sql = detail::shipped_code_question(roles);
    const detail::catalogue_check shipped[] = {
        {"shipped_code", "the control plane's functions and triggers are this version's",
         "functions and triggers", shipped_sql.c_str()}};
    for (const auto part : {detail::role_checks(), detail::right_checks(), detail::code_checks(),
                            std::span<const detail::catalogue_check>(shipped),
                            detail::other_checks(), detail::server_checks()}) {
        for (const auto& what : part) {
            auto check = co_await look(app, roles, what);
            if (!check) {
                co_return check.error();
            }
            tell(*check);
            done.push_back(std::move(*check));
        }
    }
    (void)co_await app.rollback();
    co_return done;
}

}  // namespace insula::tenancy
