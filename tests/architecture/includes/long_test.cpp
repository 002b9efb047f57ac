// What a test does more of when somebody has the time is told by a variable; scripts/test --long
// must know each of them, or its long run is one that never happens.
#include "sources.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace insula::test {
namespace {

const std::filesystem::path root = INSULA_SOURCE_FOLDER;

TEST(long_runs, every_number_that_a_test_lets_one_turn_is_turned) {
    // Where the database is, which run is to be repeated, what stands before the database.
    const std::set<std::string> no_numbers{"INSULA_TEST_POSTGRES", "INSULA_TEST_POSTGRES_BIN",
                                           "INSULA_TEST_SEED", "INSULA_TEST_POOLER"};
    std::ifstream in(root / "scripts/test");
    const std::string script{std::istreambuf_iterator<char>(in), {}};
    const auto from = script.find("\nlong_runs=(");
    ASSERT_NE(from, std::string::npos);
    const auto runs = script.substr(from, script.find("\n)", from) - from);

    const std::regex variable(R"re("(INSULA_(TEST_[A-Z_]+|RING_ROUNDS))")re");
    std::map<std::string, std::string> asked;  // which file asks for it
    for (const auto& file : read_sources(root, {"tests"})) {
        for (const auto& line : file.lines) {
            if (line.find("\"INSULA_") == std::string::npos) {
                continue;
            }
            for (std::sregex_iterator at(line.begin(), line.end(), variable), end; at != end;
                 ++at) {
                asked.emplace((*at)[1], file.path);
            }
        }
    }
    EXPECT_GE(asked.size(), 10U);
    for (const auto& [name, path] : asked) {
        if (!no_numbers.contains(name)) {
            EXPECT_NE(runs.find(name + "="), std::string::npos)
                << path << " reads " << name << ", which long_runs in scripts/test never sets";
        }
    }
}

}  // namespace
}  // namespace insula::test
