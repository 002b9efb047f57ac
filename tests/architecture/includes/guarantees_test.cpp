// docs/security.md promises by numbers; each number has tests that carry it (scripts/guarantees).
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

namespace insula::test {
namespace {

namespace fs = std::filesystem;

const fs::path root = INSULA_SOURCE_FOLDER;

struct script_outcome {
    int code = -1;
    std::string output;
};

script_outcome guarantees(const std::string& arguments) {
    script_outcome outcome;
    const std::string line = (root / "scripts/guarantees").string() + " " + arguments + " 2>&1";
    std::FILE* pipe = ::popen(line.c_str(), "r");
    std::array<char, 4096> chunk{};
    while (std::fgets(chunk.data(), static_cast<int>(chunk.size()), pipe) != nullptr) {
        outcome.output += chunk.data();
    }
    outcome.code = WEXITSTATUS(::pclose(pipe));
    return outcome;
}

std::string text_of(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
}

TEST(guarantees, each_has_tests_and_the_table_is_what_their_names_make) {
    const auto outcome = guarantees("--check");
    EXPECT_EQ(outcome.code, 0) << outcome.output;
}

// A row that is taken out takes its promise back: that is a decision, so it is made here as well.
TEST(guarantees, none_is_taken_back) {
    std::set<std::string> decided;
    for (const auto& [first, last] : std::array<std::pair<int, int>, 8>{
             {{1, 7}, {10, 17}, {20, 24}, {30, 38}, {40, 45}, {50, 53}, {60, 65}, {70, 72}}}) {
        for (int number = first; number <= last; ++number) {
            decided.insert((number < 10 ? "G0" : "G") + std::to_string(number));
        }
    }
    std::set<std::string> found;
    std::ifstream in(root / "docs/security.md");
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("| G")) {
            found.insert(line.substr(2, 3));
        }
    }
    EXPECT_EQ(found, decided);
}

/// A tree of two guarantees and what its tests are.
class guarantees_script : public testing::Test {
protected:
    guarantees_script() : tree_(fs::path(testing::TempDir()) / "insula-XXXXXX") {
        std::string name = tree_.string();
        tree_ = ::mkdtemp(name.data());
        test_file_ = tree_ / "tests/unit/core/some_test.cpp";
        write(tree_ / "docs/security.md",
              "# Security\n\n| | guarantee | fails when | tests |\n|---|---|---|---|\n"
              "| G01 | nothing leaks | all is let through | |\n"
              "| G02 | nothing is lost | the lock goes | |\n");
        write(test_file_,
              "TEST(one, G01_a) {}\nTEST_F(\n    two, G01_G02_b) {}\nTEST(two, other) {}\n");
    }
    ~guarantees_script() override { fs::remove_all(tree_); }

    script_outcome run(const std::string& arguments) {
        return guarantees("--root " + tree_.string() + " " + arguments);
    }
    void expect_problem(const std::string& words) {
        const auto outcome = run("--check");
        EXPECT_EQ(outcome.code, 1);
        EXPECT_NE(outcome.output.find(words), std::string::npos) << outcome.output;
    }

    fs::path tree_;
    fs::path test_file_;
};

TEST_F(guarantees_script, writes_the_counts_and_the_names) {
    expect_problem("run scripts/guarantees");
    EXPECT_EQ(run("").code, 0);
    EXPECT_EQ(run("--check").code, 0);
    const auto table = text_of(tree_ / "docs/security.md");
    EXPECT_NE(table.find("| all is let through | [2 tests](security-tests.md#g01) |"),
              std::string::npos)
        << table;
    EXPECT_NE(table.find("| [1 test](security-tests.md#g02) |"), std::string::npos) << table;
    const auto list = text_of(tree_ / "docs/security-tests.md");
    EXPECT_NE(
        list.find("## G02\n\n[tests/unit/core/some_test.cpp](../tests/unit/core/some_test.cpp)"
                  "\n- two.G01_G02_b\n"),
        std::string::npos)
        << list;
    EXPECT_NE(run("G02").output.find("    two.G01_G02_b\n"), std::string::npos);
}

TEST_F(guarantees_script, refuses_a_guarantee_without_a_test) {
    EXPECT_EQ(run("").code, 0);
    // Tests that do not run prove nothing: disabled, commented out, or of no test program.
    write(test_file_,
          "TEST(one, G01_a) {}\nTEST(two, DISABLED_G02_b) {}\n// TEST(two, G02_c) {}\n");
    write(tree_ / "tests/unit/core/deeper/some_test.cpp", "TEST(three, G02_d) {}\n");
    EXPECT_EQ(run("").code, 1);
    expect_problem("G02 has no test");
}

TEST_F(guarantees_script, refuses_numbers_nobody_has_promised_and_rows_that_say_nothing) {
    write(test_file_, text_of(test_file_) + "TEST(one, G99_z) {}\n");
    EXPECT_EQ(run("").code, 1);
    expect_problem("one.G99_z (tests/unit/core/some_test.cpp) carries G99");
    write(tree_ / "docs/security.md",
          text_of(tree_ / "docs/security.md") + "| G99 | | m | |\n| G99 | words | | |\n");
    EXPECT_EQ(run("").code, 1);
    expect_problem("G99 has two rows");
    expect_problem("G99 says nothing");
    expect_problem("G99 names no mutation");
}

TEST_F(guarantees_script, says_so_when_a_test_was_added_and_the_table_not_written) {
    EXPECT_EQ(run("").code, 0);
    write(test_file_, text_of(test_file_) + "TEST_P(one, G02_new) {}\n");
    expect_problem("run scripts/guarantees");
}

}  // namespace
}  // namespace insula::test
