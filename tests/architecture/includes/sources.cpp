#include "architecture/includes/sources.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace insula::test {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t file_lines_max = 450;
constexpr std::size_t test_lines_max = 700;  // one test file per source file
constexpr std::size_t line_bytes_max =
    120;  // the formatter aims at 100 and leaves long literals alone
constexpr std::size_t main_lines_max = 120;

std::string module_of(const std::string& path) {
    for (const std::string_view prefix : {"src/", "include/insula/"}) {
        if (path.starts_with(prefix)) {
            const auto end = path.find('/', prefix.size());
            return end == std::string::npos ? "" : path.substr(prefix.size(), end - prefix.size());
        }
    }
    return {};
}

std::string at(const source_file& file, std::size_t line) {
    return file.path + ":" + std::to_string(line) + ": ";
}

bool is_word(char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool contains_word(std::string_view text, std::string_view word) {
    for (auto found = text.find(word); found != std::string_view::npos;
         found = text.find(word, found + 1)) {
        const auto end = found + word.size();
        if ((found == 0 || !is_word(text[found - 1])) &&
            (end == text.size() || !is_word(text[end]))) {
            return true;
        }
    }
    return false;
}

// Why each is forbidden: ARCHITECTURE.md section 3, FACTS.md 1 and 4. Our runtime has its own of
// all of them.
constexpr std::array forbidden_headers{
    "boost/asio.hpp",
    "boost/beast.hpp",
    "boost/asio/ip/",
    "boost/asio/local/",
    "boost/asio/posix/",
    "boost/asio/io_context",
    "boost/asio/detached",
    "boost/asio/signal_set",
    "boost/asio/steady_timer",
    "boost/asio/system_timer",
    "boost/asio/deadline_timer",
    "boost/asio/high_resolution_timer",
    "boost/asio/basic_",
    "boost/asio/ssl",
    "boost/asio/thread_pool",
    "boost/asio/spawn",
    "boost/asio/experimental/",
    "boost/asio/impl/src",
    "boost/beast/src",
    "boost/beast/ssl",
    "boost/beast/core/tcp_stream",
    "boost/beast/core/basic_stream",
    "boost/beast/websocket",
};
constexpr std::array forbidden_words{
    "asio::detached",    "asio::io_context",    "asio::ip",           "asio::local",
    "asio::posix",       "asio::signal_set",    "asio::steady_timer", "asio::system_timer",
    "beast::tcp_stream", "beast::basic_stream", "asio::thread_pool",  "asio::detached_t",
};

}  // namespace

std::vector<source_file> read_sources(const fs::path& root,
                                      const std::vector<std::string>& folders) {
    std::vector<source_file> files;
    for (const auto& folder : folders) {
        if (!fs::exists(root / folder)) {
            continue;
        }
        for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
            if (entry.path().extension() != ".cpp" && entry.path().extension() != ".hpp") {
                continue;
            }
            source_file file;
            file.path = fs::relative(entry.path(), root).generic_string();
            file.module = module_of(file.path);
            std::ifstream in(entry.path());
            for (std::string line; std::getline(in, line);) {
                file.lines.push_back(line);
            }
            files.push_back(std::move(file));
        }
    }
    std::sort(files.begin(), files.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    return files;
}

std::vector<include_line> includes_of(const source_file& file) {
    std::vector<include_line> found;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
        std::istringstream words(file.lines[i]);
        std::string word;
        std::string header;
        words >> word >> header;
        if (word == "#") {  // "# include <x>"
            word += header;
            words >> header;
        }
        if (word != "#include") {
            const auto quote = word.find_first_of("<\"");
            if (!word.starts_with("#include") || quote == std::string::npos) {
                continue;
            }
            header = word.substr(quote);  // #include"x"
        }
        if (header.size() > 2) {
            const bool quoted = header.front() == '"';
            const auto end = header.find_first_of("\">", 1);
            found.push_back({header.substr(1, end - 1), i + 1, quoted});
        }
    }
    return found;
}

std::string code_of(std::string_view line) {
    std::string code;
    bool in_text = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (in_text && line[i] == '\\') {
            ++i;
        } else if (line[i] == '"') {
            in_text = !in_text;
        } else if (!in_text && line.substr(i).starts_with("//")) {
            break;
        } else if (!in_text) {
            code += line[i];
        }
    }
    return code;
}

arrow_table::arrow_table(std::string_view cmake_text) {
    constexpr std::string_view call = "insula_module(";
    for (auto begin = cmake_text.find(call); begin != std::string_view::npos;
         begin = cmake_text.find(call, begin + 1)) {
        const auto end = cmake_text.find(')', begin);
        std::istringstream words(
            std::string(cmake_text.substr(begin + call.size(), end - begin - call.size())));
        std::string module;
        words >> module;
        order_.push_back(module);
        std::set<std::string>& uses = direct_[module];
        for (std::string word; words >> word;) {
            // The embedded migrations are a table of pg's, generated into a library of its own.
            const std::string used = word == "insula_migrations" ? "insula_pg" : word;
            if (used.starts_with("insula_") && direct_.contains(used.substr(7))) {
                uses.insert(used.substr(7));
            }
        }
    }
    if (order_.empty()) {
        throw std::runtime_error("no insula_module(…) in CMakeLists.txt");
    }
}

bool arrow_table::may_use(const std::string& module, const std::string& other) const {
    const auto& uses = direct_.at(module);
    return module == other || std::any_of(uses.begin(), uses.end(), [&](const std::string& used) {
               return may_use(used, other);
           });
}

std::vector<std::string> include_problems(const source_file& file, const arrow_table& arrows) {
    std::vector<std::string> problems;
    if (!arrows.has(file.module)) {
        if (file.path != "src/main.cpp") {
            problems.push_back(file.path + ": belongs to no module of CMakeLists.txt");
        }
        return problems;
    }
    for (const auto& include : includes_of(file)) {
        const bool is_public = include.header.starts_with("insula/");
        const std::string rest = is_public ? include.header.substr(7) : include.header;
        const std::string target = rest.substr(0, rest.find('/'));
        if (!is_public && !(include.quoted && arrows.has(target))) {
            continue;  // another library, or a file beside this one
        }
        if (is_public && !arrows.has(target)) {
            problems.push_back(at(file, include.line) + include.header + " is of no module");
        } else if (!arrows.may_use(file.module, target)) {
            problems.push_back(at(file, include.line) + file.module + " may not use " + target);
        } else if (!is_public && target != file.module) {
            problems.push_back(at(file, include.line) + include.header + " is private to " +
                               target);
        } else if (!is_public && file.path.starts_with("include/")) {
            problems.push_back(at(file, include.line) + "a public header includes a private one");
        }
    }
    return problems;
}

std::vector<std::string> forbidden_uses(const source_file& file) {
    std::vector<std::string> problems;
    for (const auto& include : includes_of(file)) {
        for (const std::string_view header : forbidden_headers) {
            if (include.header.starts_with(header)) {
                problems.push_back(at(file, include.line) + include.header +
                                   " is never used in src");
            }
        }
    }
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
        const std::string code = code_of(file.lines[i]);
        for (const std::string_view word : forbidden_words) {
            if (contains_word(code, word)) {
                problems.push_back(at(file, i + 1) + std::string(word) + " is never used in src");
            }
        }
    }
    return problems;
}

std::vector<std::string> style_problems(const source_file& file) {
    std::vector<std::string> problems;
    const std::size_t lines_max = file.path == "src/main.cpp"       ? main_lines_max
                                  : file.path.starts_with("tests/") ? test_lines_max
                                                                    : file_lines_max;
    if (file.lines.size() > lines_max) {
        problems.push_back(file.path + ": " + std::to_string(file.lines.size()) + " lines; " +
                           std::to_string(lines_max) + " at most");
    }
    if (file.path.ends_with(".hpp") &&
        std::find(file.lines.begin(), file.lines.end(), "#pragma once") == file.lines.end()) {
        problems.push_back(file.path + ": no #pragma once");
    }
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
        const std::string& line = file.lines[i];
        if (line.size() > line_bytes_max) {
            problems.push_back(at(file, i + 1) + std::to_string(line.size()) + " bytes in a line");
        }
        if (line.find('\t') != std::string::npos) {
            problems.push_back(at(file, i + 1) + "a tab");
        }
        for (const std::string_view mark : {"TO"
                                            "DO",
                                            "FIX"
                                            "ME",
                                            "X"
                                            "XX"}) {
            if (contains_word(line, mark)) {
                problems.push_back(at(file, i + 1) + "something is left to do");
            }
        }
    }
    return problems;
}

}  // namespace insula::test
