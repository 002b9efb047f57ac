#pragma once
#include "insula/pg/error.hpp"
#include "insula/pg/migration.hpp"

#include <span>
#include <string>
#include <vector>

namespace insula::pg::detail {

struct applied_migration {
    int number;
    std::string name;
    std::string checksum;
};

/// Compares what a database says it has with the files. I/O-free. Answers how many of the files are
/// applied already; the rest is to do. Both lists are in number order. Refuses with
/// migration_refused, in one sentence.
pg_result<std::size_t> plan_migrations(std::span<const migration> files,
                                       std::span<const applied_migration> applied);

}  // namespace insula::pg::detail
