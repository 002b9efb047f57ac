#include "pg/detail/migration_plan.hpp"

#include "pg/detail/sql_text.hpp"

#include "insula/core/crypto.hpp"
#include "insula/pg/migrate.hpp"

#include <fmt/format.h>

#include <array>

namespace insula::pg {
namespace detail {
namespace {

pg_error refuse(std::string why) {
    return {.state = sqlstate::migration_refused, .message = std::move(why)};
}

}  // namespace

pg_result<std::size_t> plan_migrations(std::span<const migration> files,
                                       std::span<const applied_migration> applied) {
    for (std::size_t i = 0; i < files.size(); ++i) {
        if (files[i].number != static_cast<int>(i) + 1) {
            return refuse(
                fmt::format("the migration files have a gap: number {} stands where {} should",
                            files[i].number, i + 1));
        }
    }
    for (std::size_t i = 0; i < applied.size(); ++i) {
        const applied_migration& a = applied[i];
        if (a.number != static_cast<int>(i) + 1) {
            return refuse(fmt::format(
                "the database has a gap: migration {} is applied but {} is not", a.number, i + 1));
        }
        if (i >= files.size()) {
            return refuse(
                fmt::format("the database has migration {} ({}), which this program does not "
                            "know: it was made by a newer version",
                            a.number, a.name));
        }
        if (a.checksum != migration_checksum(files[i].sql)) {
            return refuse(
                fmt::format("migration {} ({}) was changed after it had been applied: restore "
                            "the file and put the change into a new one",
                            a.number, files[i].name));
        }
    }
    return applied.size();
}

}  // namespace detail

std::string migration_checksum(std::string_view sql) {
    std::string out;
    for (const std::uint8_t byte : sha256(as_bytes(sql))) {
        out += fmt::format("{:02x}", byte);
    }
    return out;
}

std::string expand_roles(std::string_view sql, std::string_view role_prefix) {
    static constexpr std::array<std::string_view, 7> roles{
        "owner", "app", "worker", "provisioner", "schema_owner", "gatekeeper", "tenant"};
    static constexpr std::string_view opening = "{role:";
    std::string out;
    out.reserve(sql.size());
    for (;;) {
        const auto at = sql.find(opening);
        out.append(sql.substr(0, at));
        if (at == std::string_view::npos) {
            return out;
        }
        sql.remove_prefix(at);
        const auto end = sql.find('}');
        const std::string_view name = end == std::string_view::npos
                                          ? std::string_view()
                                          : sql.substr(opening.size(), end - opening.size());
        bool known = false;
        for (const std::string_view role : roles) {
            known |= role == name;
        }
        if (known) {
            out += detail::quote_identifier(fmt::format("{}_{}", role_prefix, name));
            sql.remove_prefix(end + 1);
        } else {
            out.append(opening);
            sql.remove_prefix(opening.size());
        }
    }
}

}  // namespace insula::pg
