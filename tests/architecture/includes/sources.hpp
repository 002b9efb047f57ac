// Reading the source tree for the architecture tests: files, includes, and the arrow table of
// CMakeLists.txt.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace insula::test {

struct source_file {
    std::string path;    // relative to the repository, with '/'
    std::string module;  // "core", …; empty outside of the modules
    std::vector<std::string> lines;
};

struct include_line {
    std::string header;
    std::size_t line = 0;  // from 1
    bool quoted = false;
};

/// Every .cpp and .hpp below the folders.
std::vector<source_file> read_sources(const std::filesystem::path& root,
                                      const std::vector<std::string>& folders);

std::vector<include_line> includes_of(const source_file& file);

/// The line with comments and the contents of string literals blanked, so that words in prose are
/// no finding.
std::string code_of(std::string_view line);

/// The modules and what each may use, directly and through others, from the `insula_module(…)`
/// lines.
class arrow_table {
public:
    explicit arrow_table(std::string_view cmake_text);
    const std::vector<std::string>& modules() const { return order_; }
    bool has(const std::string& module) const { return direct_.contains(module); }
    /// Every module is also allowed to use itself.
    bool may_use(const std::string& module, const std::string& other) const;
    const std::set<std::string>& direct(const std::string& module) const {
        return direct_.at(module);
    }

private:
    std::vector<std::string> order_;
    std::map<std::string, std::set<std::string>> direct_;
};

/// What is wrong with the file's includes by the table, one sentence each.
std::vector<std::string> include_problems(const source_file& file, const arrow_table& arrows);
/// Where product code uses a part of Asio or Beast that it must not.
std::vector<std::string> forbidden_uses(const source_file& file);
/// House rules that a formatter does not know.
std::vector<std::string> style_problems(const source_file& file);

}  // namespace insula::test
