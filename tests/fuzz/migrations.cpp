// A folder of tenant migrations with file names of any kind, one a line (INSULA_TENANT_MIGRATIONS),
// and migration texts. A folder that is taken has the numbers 1 to n and names that can stand in
// SQL; in a text only our own words are replaced, and nothing is left of them.
#include "support/fuzz.hpp"

#include "insula/app/config.hpp"
#include "insula/app/database_setup.hpp"
#include "insula/pg/migrate.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace insula::app {
namespace {

namespace fs = std::filesystem;
using fuzz::require;

fs::path make_folder() {
    std::string pattern = (fs::temp_directory_path() / "insula-fuzz-XXXXXX").string();
    require(::mkdtemp(pattern.data()) != nullptr, "no temporary folder");
    static const std::string kept = pattern;
    std::atexit([] {
        std::error_code ignored;
        fs::remove_all(kept, ignored);
    });
    return kept;
}

bool can_be_a_file(std::string_view name) {
    return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
           name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

/// The rule, written down a second time: NNNN_name.sql with digits, then [a-z0-9_]+.
bool named_rightly(std::string_view file) {
    if (file.size() < 10 || !file.ends_with(".sql") || file[4] != '_') {
        return false;
    }
    const auto name = file.substr(5, file.size() - 9);
    return std::ranges::all_of(file.substr(0, 4), [](char c) { return c >= '0' && c <= '9'; }) &&
           file.substr(0, 4) != "0000" && std::ranges::all_of(name, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
           });
}

void check_folder(std::string_view lines) {
    static const fs::path folder = make_folder();
    std::set<std::string> files;
    for (int most = 8; most > 0 && !lines.empty(); --most) {
        const auto name = fuzz::take_until(lines, '\n');
        if (can_be_a_file(name)) {
            files.emplace(name);
        }
    }
    for (const auto& name : files) {
        std::ofstream(folder / name) << "select '" << files.size() << "'";
    }
    config values;
    values.tenant_migrations = folder.string();
    const auto loaded = tenant_migration_files::load(values);
    bool right = !files.empty();
    std::set<int> numbers;
    for (const auto& name : files) {
        right = right && named_rightly(name);
        numbers.insert(right ? std::stoi(name.substr(0, 4)) : 0);
    }
    right = right && numbers.size() == files.size() && *numbers.begin() == 1 &&
            *numbers.rbegin() == static_cast<int>(files.size());
    require(loaded.has_value() == right, "a folder is taken or refused against the rule");
    if (loaded) {
        int expected = 1;
        for (const auto& one : loaded->files()) {
            require(one.number == expected++, "not in the order of the numbers");
            require(files.contains("000" + std::to_string(one.number) + "_" +
                                   std::string(one.name) + ".sql"),
                    "another name than the file's");
        }
    }
    for (const auto& name : files) {
        fs::remove(folder / name);
    }
}

void check_text(std::string_view sql) {
    const auto expanded = pg::expand_roles(sql, "insula");
    require(sql.find("{role:") != std::string_view::npos || expanded == sql,
            "a text without our words was changed");
    require(expanded.find("{role:owner}") == std::string::npos, "a word was left");
    require(pg::migration_checksum(sql).size() == 64, "no SHA-256");
}

}  // namespace
}  // namespace insula::app

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = insula::fuzz::as_text(data, size);
    insula::app::check_folder(text);
    insula::app::check_text(text);
    return 0;
}
