#include "mails.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace insula::test {
namespace {

constexpr std::size_t token_size = 43;

std::string field_of(const std::string& mail, std::string_view name) {
    const auto head = mail.substr(0, mail.find("\r\n\r\n"));
    const auto at = head.find(std::string(name) + ": ");
    if (at == std::string::npos) {
        return {};
    }
    // With its folded lines.
    auto end = head.find("\r\n", at);
    while (end != std::string::npos && end + 2 < head.size() && head[end + 2] == ' ') {
        end = head.find("\r\n", end + 2);
    }
    return head.substr(at + name.size() + 2, end - at - name.size() - 2);
}

}  // namespace

std::vector<std::string> mails_to(const deployment& where, std::string_view email,
                                  std::string_view subject) {
    std::vector<std::string> found;
    const std::string wanted = "<" + std::string(email) + ">";
    for (const auto& file : std::filesystem::directory_iterator(where.mail_folder())) {
        if (file.path().extension() != ".eml") {
            continue;
        }
        std::ifstream in(file.path(), std::ios::binary);
        std::ostringstream all;
        all << in.rdbuf();
        auto mail = std::move(all).str();
        if (field_of(mail, "To").find(wanted) != std::string::npos &&
            field_of(mail, "Subject") == subject) {
            found.push_back(std::move(mail));
        }
    }
    return found;
}

std::vector<std::string> wait_for_mails(const deployment& where, std::string_view email,
                                        std::string_view subject, std::size_t count) {
    std::vector<std::string> found;
    wait_until(std::string(subject) + " to " + std::string(email), [&] {
        found = mails_to(where, email, subject);
        return found.size() >= count;
    });
    return found;
}

std::string token_in(const std::string& mail, std::string_view page) {
    const std::string begin = "\r\nhttps://insula.test" + std::string(page) + "?token=";
    const auto at = mail.find(begin);
    if (at == std::string::npos || mail.find("://", at + begin.size()) != std::string::npos) {
        throw std::runtime_error("not one link to " + std::string(page) + " in " + mail);
    }
    return mail.substr(at + begin.size(), token_size);
}

}  // namespace insula::test
