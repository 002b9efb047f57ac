#include "insula/core/mailboxes.hpp"

#include <algorithm>

namespace insula {

std::string without_mailboxes(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto end = std::min(text.find_first_of(" \t\r\n,;()[]"), text.size());
        const auto word = text.substr(0, end);
        out += word.find('@') != std::string_view::npos ? std::string_view("[mailbox]") : word;
        out += text.substr(end, 1);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
}

}  // namespace insula
