#include "insula/app/database_setup.hpp"
#include "insula/pg/embedded_migrations.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace insula::app {
namespace {

namespace fs = std::filesystem;

error wrong(std::string sentence) {
    return {errc::internal, {}, std::move(sentence)};
}

/// "0001_projects.sql" -> 1; nullopt when it is not such a name.
std::optional<int> number_of(const std::string& file) {
    int number = 0;
    const auto [at, failed] =
        std::from_chars(file.data(), file.data() + std::min<std::size_t>(4, file.size()), number);
    const bool digits = failed == std::errc() && at == file.data() + 4;
    const auto name =
        digits && file.size() > 9 ? std::string_view(file).substr(5, file.size() - 9) : "";
    const bool plain = !name.empty() && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
    return digits && number > 0 && file[4] == '_' && plain && file.ends_with(".sql")
               ? std::optional(number)
               : std::nullopt;
}

}  // namespace

result<tenant_migration_files> tenant_migration_files::load(const config& values) {
    tenant_migration_files loaded;
    if (values.tenant_migrations.empty()) {
        const auto built_in = pg::embedded_tenant_migrations();
        loaded.files_.assign(built_in.begin(), built_in.end());
        return loaded;
    }
    std::error_code failed;
    std::vector<std::pair<int, fs::path>> found;
    for (const auto& entry : fs::directory_iterator(values.tenant_migrations, failed)) {
        const auto file = entry.path().filename().string();
        const auto number = number_of(file);
        if (!number) {
            return wrong("tenant_migrations: " + file +
                         " is not named NNNN_name.sql (digits, lower-case name).");
        }
        found.emplace_back(*number, entry.path());
    }
    if (failed) {
        return wrong("tenant_migrations: cannot read " + values.tenant_migrations + ": " +
                     failed.message() + ".");
    }
    if (found.empty()) {
        return wrong("tenant_migrations: there is no NNNN_name.sql in " + values.tenant_migrations +
                     ".");
    }
    std::ranges::sort(found);
    for (std::size_t i = 0; i < found.size(); ++i) {
        if (found[i].first != static_cast<int>(i) + 1) {
            return wrong(
                "tenant_migrations: numbers must run from 0001 without gaps or repeats; look at " +
                found[i].second.filename().string() + ".");
        }
        std::ifstream in(found[i].second, std::ios::binary);
        loaded.texts_.emplace_back(std::istreambuf_iterator<char>(in),
                                   std::istreambuf_iterator<char>());
        if (in.bad() || !in.is_open()) {
            return wrong("tenant_migrations: cannot read " + found[i].second.string() + ".");
        }
        loaded.names_.push_back(found[i].second.stem().string().substr(5));
    }
    for (std::size_t i = 0; i < found.size(); ++i) {  // only now: the views must not move
        loaded.files_.push_back({found[i].first, loaded.names_[i], loaded.texts_[i]});
    }
    return loaded;
}

}  // namespace insula::app
