// What the build promises: compilers it refuses, presets that exist.
#include <boost/json.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>

namespace insula::test {
namespace {

const std::string root = INSULA_SOURCE_FOLDER;

struct cmake_outcome {
    int code = -1;
    std::string output;  // words separated by single spaces: cmake wraps its messages
};

cmake_outcome cmake(const std::string& arguments) {
    cmake_outcome outcome;
    const std::string line = std::string(INSULA_CMAKE) + " " + arguments + " 2>&1";
    std::FILE* pipe = ::popen(line.c_str(), "r");
    std::array<char, 4096> chunk{};
    while (std::fgets(chunk.data(), static_cast<int>(chunk.size()), pipe) != nullptr) {
        for (const char c : std::string_view(chunk.data())) {
            const bool space = c == ' ' || c == '\n';
            if (!space || (!outcome.output.empty() && outcome.output.back() != ' ')) {
                outcome.output += space ? ' ' : c;
            }
        }
    }
    outcome.code = WEXITSTATUS(::pclose(pipe));
    return outcome;
}

cmake_outcome with_compiler(const std::string& id, const std::string& version) {
    return cmake("-DCMAKE_CXX_COMPILER_ID=" + id + " -DCMAKE_CXX_COMPILER_VERSION=" + version +
                 " -P " + root + "/cmake/refuse_old_gcc.cmake");
}

TEST(build, refuses_gcc_before_13_with_a_sentence_that_says_what_to_do) {
    const auto refused = with_compiler("GNU", "12.2.0");
    EXPECT_NE(refused.code, 0);
    EXPECT_NE(refused.output.find("needs Clang 19 or GCC 13 or later"), std::string::npos)
        << refused.output;
    EXPECT_NE(refused.output.find("apt-get install clang-19"), std::string::npos) << refused.output;
    EXPECT_EQ(with_compiler("GNU", "13.1.0").code, 0);
    EXPECT_EQ(with_compiler("Clang", "19.1.7").code, 0);
}

TEST(build, has_the_presets_for_every_purpose_in_a_version_that_cmake_3_25_reads) {
    std::ifstream in(root + "/CMakePresets.json");
    const auto presets =
        boost::json::parse(std::string(std::istreambuf_iterator<char>(in), {})).as_object();
    EXPECT_LE(presets.at("version").as_int64(), 6);
    std::set<std::string> names;
    for (const auto& preset : presets.at("configurePresets").as_array()) {
        const auto& one = preset.as_object();
        const std::string name(one.at("name").as_string());
        names.insert(name);
        if (name == "release") {  // nothing for tests in what people run
            const auto& values = one.at("cacheVariables").as_object();
            EXPECT_EQ(values.at("INSULA_FAULT_POINTS").as_string(), "OFF");
            EXPECT_EQ(values.at("INSULA_TESTS").as_string(), "OFF");
        }
    }
    EXPECT_EQ(names, (std::set<std::string>{"base", "debug", "release", "asan", "tsan", "tidy",
                                            "coverage", "fuzz", "bench"}));
}

}  // namespace
}  // namespace insula::test
