#include "insula/tenancy/migrate_tenants.hpp"

#include "insula/pg/migrate.hpp"

#include <string>

namespace insula::tenancy {
namespace {

constexpr std::int64_t batch_max = 50;  // measured: five times faster than one transaction each

constexpr pg::statement known_files{"tenancy.tenant_migrations",
                                    "select m.number, encode(m.checksum, 'hex'),"
                                    " exists (select from control.tenant t where t.schema_version "
                                    ">= m.number and t.status <> 'gone')"
                                    " from control.tenant_migration m order by m.number"};
// What no tenant has is a file that failed everywhere: it may be corrected, or taken back.
constexpr pg::statement forget_from{"tenancy.forget_tenant_migrations",
                                    "delete from control.tenant_migration m where m.number >= $1"
                                    " and not exists (select from control.tenant t where "
                                    "t.schema_version >= m.number and t.status <> 'gone')"};
constexpr pg::statement add_file{
    "tenancy.add_tenant_migration",
    "insert into control.tenant_migration (number, name, checksum, sql)"
    " values ($1, $2, decode($3, 'hex'), $4)"};
// Waits until every provisioning that may have read the older list has ended (see 0001_roles.sql).
constexpr pg::statement wait_for_provisioning{"tenancy.wait_for_provisioning",
                                              "select pg_advisory_xact_lock(29676314724950273)"};
constexpr pg::statement count_behind{
    "tenancy.count_behind",
    "select count(*) from control.tenant where schema_version between 1 and $1"
    " and status not in ('gone', 'deleting')"};
// Version 0 is a tenant without a schema yet: provisioning gives it the head.
constexpr pg::statement list_batch{
    "tenancy.list_batch",
    "select id from control.tenant where schema_version between 1 and $1"
    " and status not in ('gone', 'deleting') and id > $2 order by id limit $3"};
constexpr pg::statement migrate_some{
    "tenancy.migrate", "select provision.apply_tenant_migrations(id) from unnest($1::uuid[]) id"};

pg::pg_error refused(std::string message) {
    pg::pg_error failure;
    failure.state = pg::sqlstate::migration_refused;
    failure.message = std::move(message);
    return failure;
}

/// How many of the files the database has as they are; refuses what does not agree with what
/// tenants have.
pg::pg_result<std::size_t> compare(const pg::result_set& known,
                                   std::span<const pg::migration> files) {
    std::size_t at = 0;
    for (const auto row : known) {
        const auto number = row.get<std::int32_t>(0);
        const bool applied = row.get<bool>(2);
        if (at >= files.size() || files[at].number != number) {
            if (!applied) {
                break;
            }
            return refused("the database has tenant migration " + std::to_string(number) +
                           ", which this program does not know: run a newer insula, or give the "
                           "folder that holds it in INSULA_TENANT_MIGRATIONS");
        }
        if (pg::migration_checksum(files[at].sql) != row.get<std::string_view>(1)) {
            if (!applied) {
                break;
            }
            return refused(
                "tenant migration " + std::to_string(number) + "_" + std::string(files[at].name) +
                " was changed after it had been applied: put it back and add a new file");
        }
        ++at;
    }
    return at;
}

/// One transaction, behind the lock that every provisioning shares: those that have read the older
/// list have ended, those that come later read the new one.
runtime::awaitable<pg::pg_result<>> record(pg::lease& owner, std::span<const pg::migration> files,
                                           bool check) {
    pg::unit look;
    look.add(known_files);
    auto known = co_await owner.exec(std::move(look));
    if (!known) {
        co_return known.error();
    }
    const auto have = compare(known->front(), files);
    if (!have) {
        co_return have.error();
    }
    if (check) {
        co_return pg::pg_result<>();
    }
    pg::unit work;
    work.add(wait_for_provisioning);
    work.add(forget_from, static_cast<std::int32_t>(*have + 1));
    for (const auto& file : files.subspan(*have)) {
        work.add(add_file, static_cast<std::int32_t>(file.number), file.name,
                 pg::migration_checksum(file.sql), file.sql);
    }
    auto recorded = co_await owner.exec(std::move(work));
    co_return recorded ? pg::pg_result<>() : pg::pg_result<>(recorded.error());
}

runtime::awaitable<pg::pg_result<>> migrate_these(pg::lease& owner, std::vector<uuid> tenants) {
    pg::unit work;
    work.add(migrate_some, tenants);
    auto done = co_await owner.exec(std::move(work));
    co_return done ? pg::pg_result<>() : pg::pg_result<>(done.error());
}

/// A batch in one transaction; when that fails, each alone, so that one tenant's data holds up
/// nobody else.
runtime::awaitable<pg::pg_result<>> migrate_batch(pg::lease& owner,
                                                  const std::vector<uuid>& tenants,
                                                  tenants_report& report) {
    const auto together = co_await migrate_these(owner, tenants);
    if (together) {
        report.migrated += tenants.size();
        co_return together;
    }
    if (together.error().lost()) {
        co_return together;
    }
    for (const auto& tenant : tenants) {
        const auto alone = co_await migrate_these(owner, {tenant});
        if (alone) {
            ++report.migrated;
        } else if (alone.error().lost()) {
            co_return alone;
        } else {
            report.failures.push_back({tenant_id(tenant), alone.error()});
        }
    }
    co_return pg::pg_result<>();
}

}  // namespace

runtime::awaitable<pg::pg_result<tenants_report>> migrate_tenants(
    pg::lease& owner, std::span<const pg::migration> files, bool check, migrate_progress progress) {
    if (const auto recorded = co_await record(owner, files, check); !recorded) {
        co_return recorded.error();
    }
    tenants_report report;
    report.head = files.empty() ? 0 : files.back().number;
    const auto below_head = static_cast<std::int32_t>(report.head - 1);
    pg::unit count;
    count.add(count_behind, below_head);
    auto counted = co_await owner.exec(std::move(count));
    if (!counted) {
        co_return counted.error();
    }
    report.behind = static_cast<std::size_t>(counted->front().scalar<std::int64_t>());
    uuid last{};
    while (!check) {
        pg::unit list;
        list.add(list_batch, below_head, last, batch_max);
        auto listed = co_await owner.exec(std::move(list));
        if (!listed) {
            co_return listed.error();
        }
        std::vector<uuid> batch;
        for (const auto row : listed->front()) {
            batch.push_back(row.get<uuid>(0));
        }
        if (batch.empty()) {
            break;
        }
        last = batch.back();
        if (const auto done = co_await migrate_batch(owner, batch, report); !done) {
            co_return done.error();
        }
        if (progress) {
            progress(report.migrated, report.behind);
        }
    }
    co_return report;
}

}  // namespace insula::tenancy
