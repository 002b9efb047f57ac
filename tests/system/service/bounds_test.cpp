// docs/operations.md lists every bound with its setting, metrics and tests. Here the list is held
// against a running service, the settings and the tests: what is not there any more, or was added
// and not listed, fails.
#include "deployment.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace insula::test {
namespace {

const std::filesystem::path root = std::filesystem::path(INSULA_README).parent_path();

std::string text_of_file(const std::filesystem::path& path) {
    std::ifstream in(path);
    std::ostringstream all;
    all << in.rdbuf();
    EXPECT_FALSE(all.str().empty()) << path;
    return std::move(all).str();
}

struct bound {
    std::string name;
    std::string limit;
    std::vector<std::string> metrics;
    std::vector<std::string> tests;
};

std::vector<std::string> all_matches(const std::string& text, const std::regex& what) {
    std::vector<std::string> found;
    for (std::sregex_iterator at(text.begin(), text.end(), what), end; at != end; ++at) {
        found.push_back(at->str(1));
    }
    return found;
}

std::vector<bound> listed() {
    const auto page = text_of_file(root / "docs/operations.md");
    const auto begin = page.find("\n## Bounds\n");
    EXPECT_NE(begin, std::string::npos);
    std::istringstream lines(page.substr(begin, page.find("\n## ", begin + 4) - begin));
    std::vector<bound> all;
    static const std::regex in_code("`([^`]+)`");
    for (std::string line; std::getline(lines, line);) {
        std::vector<std::string> cells;
        std::istringstream row(line);
        for (std::string cell; std::getline(row, cell, '|');) {
            cells.push_back(cell);
        }
        if (cells.size() == 6 && cells[1] != " bound " && !cells[1].starts_with("---")) {
            all.push_back({cells[1], cells[2], all_matches(cells[3], in_code),
                           all_matches(cells[5], in_code)});
        }
    }
    return all;
}

/// Names of all series of a process that has served something, its rate limits on.
const std::set<std::string>& series() {
    static const auto names = [] {
        auto& where = shared_deployment();
        const auto who = where.make_person("bounds");
        auto variables = where.variables();
        variables["INSULA_RATE_LIMIT"] = "on";
        const served limited(variables);
        auto client = limited.client();
        EXPECT_EQ(get(client, "/api/v1/projects", who.auth()).status, 200);
        std::set<std::string> all;
        std::istringstream lines(get(client, "/metrics").body);
        for (std::string line; std::getline(lines, line);) {
            auto name = line.substr(0, line.find_first_of("{ "));
            for (const std::string part : {"_bucket", "_count", "_sum"}) {
                if (name.ends_with(part)) {
                    all.insert(name.substr(0, name.size() - part.size()));
                }
            }
            all.insert(std::move(name));
        }
        return all;
    }();
    return names;
}

/// "suite.test" of all sources.
std::set<std::string> tests_there_are() {
    std::set<std::string> all;
    for (const auto& file : std::filesystem::recursive_directory_iterator(root / "tests")) {
        if (file.path().extension() != ".cpp") {
            continue;
        }
        const auto text = text_of_file(file.path());
        for (auto at = text.find("\nTEST"); at != text.npos; at = text.find("\nTEST", at + 1)) {
            const auto open = text.find('(', at) + 1;
            auto name = text.substr(open, text.find(')', open) - open);
            std::erase_if(name, [](char c) { return c == ' ' || c == '\n'; });
            std::ranges::replace(name, ',', '.');
            all.insert(std::move(name));
        }
    }
    return all;
}

TEST(bounds, G65_each_has_its_metrics_and_its_test) {
    const auto& metrics = series();
    const auto tests = tests_there_are();
    const auto all = listed();
    EXPECT_GE(all.size(), 25U);
    for (const auto& one : all) {
        EXPECT_FALSE(one.metrics.empty()) << one.name;
        EXPECT_FALSE(one.tests.empty()) << one.name;
        for (const auto& metric : one.metrics) {
            EXPECT_TRUE(metrics.contains(metric)) << one.name << ": no metric " << metric;
        }
        for (const auto& test : one.tests) {
            EXPECT_TRUE(tests.contains(test)) << one.name << ": no test " << test;
        }
    }
}

TEST(bounds, G65_every_limit_that_is_measured_is_listed) {
    std::set<std::string> known;
    for (const auto& one : listed()) {
        known.insert(one.metrics.begin(), one.metrics.end());
    }
    for (const auto& metric : series()) {
        if (metric.ends_with("_max")) {
            EXPECT_TRUE(known.contains(metric)) << metric;
        }
    }
}

TEST(bounds, G65_every_limit_of_http_is_listed) {
    static const std::regex field(R"(\n    std::(?:size_t|chrono::milliseconds) (\w+)\s*[={])");
    const auto fields = all_matches(text_of_file(root / "include/insula/http/limits.hpp"), field);
    EXPECT_GE(fields.size(), 15U);
    for (const auto& name : fields) {
        EXPECT_TRUE(std::ranges::any_of(listed(), [&](const bound& one) {
            return one.limit.find("`" + name + "`") != std::string::npos ||
                   one.limit.find("[http] " + name + "`") != std::string::npos;
        })) << name;
    }
}

}  // namespace
}  // namespace insula::test
