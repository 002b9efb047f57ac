#include "node.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace insula::test {
namespace {

namespace fs = std::filesystem;

const fs::path sources = INSULA_CLIENTS_SOURCE;
const fs::path folder = INSULA_CLIENTS_FOLDER;

finished run(const std::vector<std::string>& command, std::string_view input,
             const environment& variables, std::chrono::milliseconds limit) {
    child_process child("/usr/bin/env", command, variables, input);
    const int code = child.wait(limit);
    return {code, child.out(), child.err()};
}

std::string content_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    return std::move(all).str();
}

/// Those who cannot reach the registry are told so by npm in one of these words: no network, a
/// proxy's refusal, or a network that presents certificates of its own which this machine does not
/// trust. The word, or nothing.
std::string says_unreachable(const std::string& text) {
    for (const char* word :
         {"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH",
          "ENOTCACHED", "EHOSTUNREACH", "ERR_SOCKET_TIMEOUT", "SELF_SIGNED_CERT_IN_CHAIN",
          "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "code E403",
          "code E407", "code E502", "code E503", "code E504"}) {
        if (text.find(word) != std::string::npos) {
            return word;
        }
    }
    return {};
}

void copy_programs() {
    fs::create_directories(folder);
    for (const auto& file : fs::directory_iterator(sources)) {
        const auto extension = file.path().extension();
        if (extension == ".json" || extension == ".mjs" || extension == ".ts") {
            fs::copy_file(file.path(), folder / file.path().filename(),
                          fs::copy_options::overwrite_existing);
        }
    }
}

std::optional<std::string> install() {
    using namespace std::chrono_literals;
    const auto node = run({"node", "--version"}, "", {}, 30s);
    const auto npm = run({"npm", "--version"}, "", {}, 30s);
    if (node.code != 0 || npm.code != 0) {
        return "node and npm are not installed";
    }
    copy_programs();
    // What is installed belongs to this list; another list, or half an installation, has no stamp.
    const auto stamp = folder / "node_modules" / "installed";
    const auto wanted = content_of(folder / "package-lock.json");
    if (fs::exists(stamp) && content_of(stamp) == wanted) {
        return std::nullopt;
    }
    const auto done =
        run({"npm", "ci", "--prefix", folder.string(), "--prefer-offline", "--no-audit",
             "--no-fund", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=30000"},
            "", {}, 300s);
    if (done.code != 0) {
        const auto words = done.out + done.err;
        if (const auto word = says_unreachable(words); !word.empty()) {
            return "the npm registry cannot be reached (" + word +
                   "), and nothing is in the cache of npm";
        }
        throw std::runtime_error("npm ci ended with " + std::to_string(done.code) + ": " + words);
    }
    std::ofstream(stamp, std::ios::binary) << wanted;
    return std::nullopt;
}

}  // namespace

std::string clients_folder() {
    return folder.string();
}

std::optional<std::string> libraries_missing() {
    static const auto why = install();
    return why;
}

finished run_node(const std::string& program, const std::vector<std::string>& arguments,
                  const boost::json::object& input, const environment& variables) {
    std::vector<std::string> command{"node", (folder / program).string()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run(command, boost::json::serialize(input), variables, std::chrono::seconds(120));
}

}  // namespace insula::test
