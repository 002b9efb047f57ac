#include "accepted_findings.hpp"

#include <fmt/format.h>

#include <fstream>

namespace insula::app::commands {
namespace {

constexpr std::string_view between = " | ";

std::string trimmed(const std::string& line) {
    const auto from = line.find_first_not_of(" \t\r");
    return from == std::string::npos ? ""
                                     : line.substr(from, line.find_last_not_of(" \t\r") - from + 1);
}

error unusable(std::string sentence) {
    return {errc::internal, {}, std::move(sentence)};
}

}  // namespace

result<accepted_findings> accepted_findings::read(const std::string& path) {
    std::ifstream file(path);
    accepted_findings all;
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
        const auto text = trimmed(line);
        if (text.empty() || text.front() == '#') {
            continue;
        }
        const auto first = text.find(between);
        if (first == std::string::npos ||
            text.find(between, first + between.size()) == std::string::npos) {
            return unusable(fmt::format(
                "{}, line {}: write CHECK | OBJECT | WHAT, as the report has them.", path, number));
        }
        all.lines_.emplace(text, false);
    }
    if (!file.eof()) {
        return unusable("The file " + path + " cannot be read.");
    }
    return all;
}

void accepted_findings::mark(tenancy::isolation_check& check) {
    for (auto& finding : check.findings) {
        const auto line =
            fmt::format("{}{}{}{}{}", check.name, between, finding.object, between, finding.what);
        if (const auto found = lines_.find(line); found != lines_.end()) {
            found->second = true;
            finding.how = tenancy::severity::accepted;
        }
    }
}

std::vector<std::string> accepted_findings::unmatched() const {
    std::vector<std::string> left;
    for (const auto& [line, matched] : lines_) {
        if (!matched) {
            left.push_back(line);
        }
    }
    return left;
}

}  // namespace insula::app::commands
