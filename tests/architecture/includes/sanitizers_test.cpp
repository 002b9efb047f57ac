// That the suite is clean under the sanitizers means something only if they see what they are for:
// programs with one planted fault each, built as the presets build, must end with a report (G72).
#include <boost/json.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace insula::test {
namespace {

namespace fs = std::filesystem;

const fs::path root = INSULA_SOURCE_FOLDER;

struct outcome {
    int code = -1;
    std::string output;
};

outcome shell(const std::string& line) {
    outcome out;
    std::FILE* pipe = ::popen((line + " 2>&1").c_str(), "r");
    std::array<char, 4096> chunk{};
    while (std::fgets(chunk.data(), static_cast<int>(chunk.size()), pipe) != nullptr) {
        out.output += chunk.data();
    }
    const int status = ::pclose(pipe);
    out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return out;
}

std::string text_of(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::string sanitizers_of(const std::string& preset) {
    const auto presets = boost::json::parse(text_of(root / "CMakePresets.json")).as_object();
    for (const auto& one : presets.at("configurePresets").as_array()) {
        if (one.at("name").as_string() == preset) {
            return std::string(one.at("cacheVariables").at("INSULA_SANITIZE").as_string());
        }
    }
    return {};
}

/// A project of one file that takes its settings from ours.
class planted : public testing::Test {
protected:
    planted() {
        std::string name = (fs::path(testing::TempDir()) / "insula-XXXXXX").string();
        folder_ = ::mkdtemp(name.data());
        std::ofstream(folder_ / "CMakeLists.txt")
            << "cmake_minimum_required(VERSION 3.25)\nset(CMAKE_CXX_COMPILER clang++-19)\n"
               "project(planted LANGUAGES CXX)\ninclude("
            << (root / "cmake/settings.cmake").string() << ")\nadd_executable(planted fault.cpp)\n";
    }
    ~planted() override { fs::remove_all(folder_); }

    outcome run(const std::string& preset, const std::string& source) {
        std::ofstream(folder_ / "fault.cpp") << source;
        const auto built =
            shell(std::string(INSULA_CMAKE) + " -S " + folder_.string() + " -B " +
                  (folder_ / preset).string() +
                  " -DCMAKE_BUILD_TYPE=Debug -DINSULA_SANITIZE=" + sanitizers_of(preset) + " && " +
                  INSULA_CMAKE + " --build " + (folder_ / preset).string());
        EXPECT_EQ(built.code, 0) << built.output;
        return shell("env -u ASAN_OPTIONS -u TSAN_OPTIONS " +
                     (folder_ / preset / "planted").string());
    }
    void expect_report(const std::string& preset, const std::string& source,
                       const std::string& words) {
        const auto seen = run(preset, source);
        EXPECT_NE(seen.code, 0);
        EXPECT_NE(seen.output.find(words), std::string::npos) << seen.output;
    }

    fs::path folder_;
};

constexpr auto used_after_its_end = R"(
#include <memory>
int main(int n, char**) {
    auto p = std::make_unique<int[]>(4);
    int* q = p.get();
    p.reset();
    return q[n] == 7 ? 3 : 0;
})";

constexpr auto overflow = R"(
#include <limits>
int main(int n, char**) {
    int most = std::numeric_limits<int>::max();
    most += n;
    return most == 7 ? 3 : 0;
})";

constexpr auto race = R"(
#include <thread>
int shared = 0;
int main() {
    std::thread one([] { for (int i = 0; i < 1000; ++i) ++shared; });
    std::thread two([] { for (int i = 0; i < 1000; ++i) ++shared; });
    one.join();
    two.join();
    return 0;
})";

constexpr auto nothing_wrong = "int main() { return 0; }";

TEST_F(planted, G72_the_presets_of_the_sanitizers_see_what_they_are_for) {
    expect_report("asan", used_after_its_end, "heap-use-after-free");
    expect_report("asan", overflow, "signed integer overflow");
    EXPECT_EQ(run("asan", nothing_wrong).code, 0);
    expect_report("tsan", race, "ThreadSanitizer: data race");
    EXPECT_EQ(run("tsan", nothing_wrong).code, 0);
}

// Whatever is left out of the sanitizers' pass is left out here as well, with the reason beside it.
TEST(sanitizers, G72_the_whole_suite_runs_under_them_by_default) {
    const auto script = text_of(root / "scripts/test");
    EXPECT_NE(script.find("\npasses=(debug asan)\n"), std::string::npos)
        << "scripts/test without arguments runs the debug and the asan pass";
    EXPECT_EQ(text_of(root / ".ci/run").find("--fast"), std::string::npos);
    EXPECT_EQ(script.find("detect_leaks=0"), std::string::npos);
    EXPECT_EQ(script.find("halt_on_error=0"), std::string::npos);
}

}  // namespace
}  // namespace insula::test
