#include "insula/tenancy/verify.hpp"

#include "verify_checks.hpp"

#include <algorithm>

namespace insula::tenancy {
namespace {

constexpr std::chrono::seconds check_limit{120};

// One row without a finding, or one for each; the number of objects looked at in all of them.
constexpr const char* last_part =
    " select (select count(*) from looked), (select count(*) from findings), f.how::text, f.object,"
    " f.what, f.mend from (values (1)) one left join (select * from findings"
    " order by how, object, what limit $2) f on true";

runtime::awaitable<pg::pg_result<>> begin_look(pg::lease& on) {
    if (auto begun = co_await on.begin(pg::isolation::repeatable_read, true); !begun) {
        co_return begun.error();
    }
    pg::unit pin;
    // What somebody has put into a schema of the default path is not what we ask with. And the
    // statements are large: compiling each costs more than running it.
    pin.add_once(
        "select set_config('search_path', 'pg_catalog, pg_temp', true), set_config('jit', 'off',"
        " true)");
    if (auto pinned = co_await on.exec(std::move(pin)); !pinned) {
        co_return pinned.error();
    }
    co_return pg::pg_result<>();
}

void read_findings(const pg::result_set& rows, isolation_check& into) {
    into.looked_at = rows.front().get<std::int64_t>(0);
    const auto found = rows.front().get<std::int64_t>(1);
    for (const auto row : rows) {
        if (row.is_null(3)) {
            continue;
        }
        into.findings.push_back(
            {row.get<std::string>(2) == "notice" ? severity::notice : severity::danger,
             row.get<std::string>(3), row.get<std::string>(4), row.get<std::string>(5)});
    }
    into.more = found - static_cast<std::int64_t>(into.findings.size());
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
    return how == severity::danger ? "danger" : "notice";
}

std::int64_t isolation_report::count(severity how) const noexcept {
    std::int64_t found = 0;
    for (const auto& check : checks) {
        found += std::ranges::count(check.findings, how, &isolation_finding::how);
        // Dangers come first, so what is beyond the limit is one only if all before are.
        const bool dangers_only = std::ranges::all_of(
            check.findings, [](const auto& f) { return f.how == severity::danger; });
        found += dangers_only == (how == severity::danger) ? check.more : 0;
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
    for (const auto part : {detail::role_checks(), detail::right_checks(), detail::code_checks(),
                            detail::server_checks()}) {
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
