#include "insula/pg/migrate.hpp"

#include "pg/detail/migration_plan.hpp"
#include "pg/detail/sql_text.hpp"

#include "insula/observe/log.hpp"

#include <fmt/format.h>

namespace insula::pg {
namespace {

/// The migrator's own SQL: its table's name is a parameter of the call, so nothing of it is
/// prepared.
class migrator {
public:
    migrator(lease& connection, migrate_options options, std::span<const migration> files)
        : on_(connection),
          options_(std::move(options)),
          files_(files),
          table_(detail::quote_identifier(options_.schema) + ".migration") {}

    runtime::awaitable<pg_result<migration_report>> run() {
        migration_report report;
        if (options_.check) {
            auto done = co_await applied();
            if (!done) {
                co_return std::move(done).error();
            }
            report.head = static_cast<int>(*done);
            for (std::size_t i = *done; i < files_.size(); ++i) {
                report.pending.push_back(files_[i].number);
            }
            co_return report;
        }
        const auto locked = co_await lock();
        if (!locked) {
            co_return locked.error();
        }
        auto outcome = co_await apply_all();
        if (!outcome) {
            (void)co_await on_.rollback();
        }
        // When even this fails the pool closes the connection, and the lock ends with it.
        (void)co_await once(
            "select pg_catalog.pg_advisory_unlock("
            "pg_catalog.hashtextextended($1, 0))");
        co_return outcome;
    }

private:
    runtime::awaitable<pg_result<results>> once(std::string sql) {
        unit work;
        if (sql.find("$1") != std::string::npos) {
            work.add_once(std::move(sql), "insula.migrate." + options_.schema);
        } else {
            work.add_once(std::move(sql));
        }
        return on_.exec(std::move(work));
    }

    runtime::awaitable<pg_result<results>> lock() {
        return once("select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended($1, 0))");
    }

    runtime::awaitable<pg_result<bool>> exists(const char* what, std::string name) {
        unit work;
        work.add_once(fmt::format("select pg_catalog.{}($1) is not null", what), name);
        auto answer = co_await on_.exec(std::move(work));
        if (!answer) {
            co_return std::move(answer).error();
        }
        co_return answer->at(0).scalar<bool>();
    }

    /// How many of the files the database has; refuses what does not fit.
    runtime::awaitable<pg_result<std::size_t>> applied() {
        std::vector<detail::applied_migration> rows;
        const auto present = co_await exists("to_regclass", table_);
        if (!present) {
            co_return present.error();
        }
        if (*present) {
            auto answer =
                co_await once("select number, name, checksum from " + table_ + " order by number");
            if (!answer) {
                co_return std::move(answer).error();
            }
            for (const row r : answer->at(0)) {
                rows.push_back(
                    {r.get<std::int32_t>(0), r.get<std::string>(1), r.get<std::string>(2)});
            }
        }
        co_return detail::plan_migrations(files_, rows);
    }

    runtime::awaitable<pg_result<>> make_table() {
        const auto schema =
            co_await exists("to_regnamespace", detail::quote_identifier(options_.schema));
        if (!schema) {
            co_return schema.error();
        }
        unit work;
        if (!*schema) {
            work.add_once("create schema " + detail::quote_identifier(options_.schema));
        }
        work.add_once("create table if not exists " + table_ +
                      " (number integer primary key check (number > 0), name text not null, "
                      "checksum text not null, applied_at timestamptz not null default now())");
        const auto made = co_await on_.exec(std::move(work));
        co_return made ? pg_result<>() : pg_result<>(made.error());
    }

    runtime::awaitable<pg_result<>> apply(const migration& file) {
        (void)co_await on_.begin();
        const auto done = co_await on_.exec_script(expand_roles(file.sql, options_.role_prefix));
        if (!done) {
            pg_error why = done.error();
            why.message = fmt::format("migration {} ({}): {}", file.number, file.name, why.message);
            co_return why;
        }
        unit record;
        record.add_once("insert into " + table_ + " (number, name, checksum) values ($1, $2, $3)",
                        file.number, file.name, migration_checksum(file.sql));
        const auto recorded = co_await on_.exec_and_commit(std::move(record));
        co_return recorded ? pg_result<>() : pg_result<>(recorded.error());
    }

    runtime::awaitable<pg_result<migration_report>> apply_all() {
        const auto made = co_await make_table();
        if (!made) {
            co_return made.error();
        }
        const auto done = co_await applied();
        if (!done) {
            co_return done.error();
        }
        migration_report report;
        for (std::size_t i = *done; i < files_.size(); ++i) {
            const auto outcome = co_await apply(files_[i]);
            if (!outcome) {
                co_return outcome.error();
            }
            observe::info("pg.migrated", {{"schema", options_.schema},
                                          {"number", files_[i].number},
                                          {"name", files_[i].name}});
            report.applied.push_back(files_[i].number);
        }
        report.head = static_cast<int>(files_.size());
        co_return report;
    }

    lease& on_;
    migrate_options options_;
    std::span<const migration> files_;
    std::string table_;
};

}  // namespace

runtime::awaitable<pg_result<migration_report>> migrate(lease& connection, migrate_options options,
                                                        std::span<const migration> files) {
    migrator one(connection, std::move(options), files);
    co_return co_await one.run();
}

}  // namespace insula::pg
