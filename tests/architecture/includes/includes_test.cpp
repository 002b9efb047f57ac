// The module arrows, the parts of Asio that are never used, and the house rules, checked over the
// source text.
#include "architecture/includes/sources.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace insula::test {
namespace {

namespace fs = std::filesystem;

const fs::path root = INSULA_SOURCE_FOLDER;

arrow_table real_arrows() {
    std::ifstream in(root / "CMakeLists.txt");
    const std::string text(std::istreambuf_iterator<char>(in), {});
    return arrow_table(text);
}

std::string joined(const std::vector<std::string>& problems) {
    std::string text;
    for (const auto& problem : problems) {
        text += "\n  " + problem;
    }
    return text;
}

template <class Check>
std::string over(const std::vector<std::string>& folders, Check check) {
    std::string all;
    const auto files = read_sources(root, folders);
    EXPECT_GT(files.size(), 10U) << "no sources below " << root;
    for (const auto& file : files) {
        all += joined(check(file));
    }
    return all;
}

TEST(architecture, includes_go_only_where_the_table_allows) {
    const auto arrows = real_arrows();
    EXPECT_EQ(
        over({"src", "include"}, [&](const auto& file) { return include_problems(file, arrows); }),
        "");
}

TEST(architecture, product_code_uses_no_part_of_asio_that_is_forbidden) {
    EXPECT_EQ(over({"src", "include"}, forbidden_uses), "");
}

TEST(architecture, files_are_short_and_finished) {
    EXPECT_EQ(over({"src", "include", "tests", "bench"}, style_problems), "");
}

// ARCHITECTURE.md section 1: a change of an arrow is a decision, so it is made here as well.
TEST(architecture, the_table_is_the_decided_one) {
    const std::map<std::string, std::set<std::string>> decided{
        {"core", {}},
        {"observe", {"core"}},
        {"runtime", {"core", "observe"}},
        {"pg", {"runtime"}},
        {"http", {"runtime"}},
        {"token", {"core"}},
        {"audit", {"pg"}},
        {"tenancy", {"audit", "token"}},
        {"queue", {"pg"}},
        {"mail", {"runtime"}},
        {"identity", {"tenancy", "queue", "token"}},
        {"workflows", {"identity", "tenancy", "queue", "mail"}},
        {"api", {"identity", "tenancy", "queue", "token", "http"}},
    };
    const auto arrows = real_arrows();
    for (const auto& [module, uses] : decided) {
        ASSERT_TRUE(arrows.has(module)) << module;
        std::set<std::string> found = arrows.direct(module);
        found.erase(uses.contains("pg") || !arrows.may_use(module, "pg")
                        ? ""
                        : "pg");  // the migrations' table
        EXPECT_EQ(found, uses) << module;
    }
    EXPECT_FALSE(arrows.may_use("http", "pg"));
    EXPECT_FALSE(arrows.may_use("pg", "http"));
    EXPECT_FALSE(arrows.may_use("token", "runtime"));
}

source_file sample(std::string path, std::string module, std::vector<std::string> lines) {
    return {std::move(path), std::move(module), std::move(lines)};
}

TEST(architecture_scanner, finds_what_it_is_for) {
    const arrow_table arrows(
        "insula_module(core USES x)\ninsula_module(pg USES insula_core)\n"
        "insula_module(http USES insula_core y)\n");
    const auto wrong =
        sample("src/http/a.cpp", "http",
               {"#include \"insula/pg/pool.hpp\"", "#include \"insula/core/error.hpp\"",
                "  #  include <insula/pg/pool.hpp>", "#include \"pg/detail/node.hpp\"",
                "#include \"core/private.hpp\"", "#include \"insula/none/x.hpp\""});
    EXPECT_EQ(include_problems(wrong, arrows),
              (std::vector<std::string>{"src/http/a.cpp:1: http may not use pg",
                                        "src/http/a.cpp:3: http may not use pg",
                                        "src/http/a.cpp:4: http may not use pg",
                                        "src/http/a.cpp:5: core/private.hpp is private to core",
                                        "src/http/a.cpp:6: insula/none/x.hpp is of no module"}));
    EXPECT_EQ(include_problems(sample("src/x/a.cpp", "x", {}), arrows).size(), 1U);
    EXPECT_EQ(forbidden_uses(
                  sample("src/http/a.cpp", "http",
                         {"#include <boost/asio/steady_timer.hpp>",
                          "co_spawn(e, f(), boost::asio::detached);", "// asio::io_context is out",
                          "log(\"asio::ip\");", "#include <boost/asio/awaitable.hpp>"}))
                  .size(),
              2U);
    EXPECT_EQ(style_problems(sample("a.hpp", "",
                                    {"\tint x;",
                                     "// TO"
                                     "DO later",
                                     std::string(121, 'x')}))
                  .size(),
              4U);
    EXPECT_EQ(style_problems(sample("src/main.cpp", "", std::vector<std::string>(121))).size(), 1U);
    EXPECT_TRUE(style_problems(sample("a.hpp", "", {"#pragma once"})).empty());
}

}  // namespace
}  // namespace insula::test
