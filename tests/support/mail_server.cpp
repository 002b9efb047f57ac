#include "support/mail_server.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace insula::test {

using namespace std::chrono_literals;

namespace {

std::string contents(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    return std::move(all).str();
}

received_mail read_mail(const std::string& base) {
    received_mail mail;
    std::istringstream about(contents(base + ".txt"));
    for (std::string line; std::getline(about, line);) {
        const auto equals = line.find('=');
        const auto key = line.substr(0, equals);
        const auto value = line.substr(equals + 1);
        for (const auto& [name, member] : {std::pair<const char*, std::string*>{"from", &mail.from},
                                           {"to", &mail.to},
                                           {"options", &mail.options},
                                           {"name", &mail.name},
                                           {"login", &mail.login},
                                           {"connection", &mail.connection}}) {
            if (key == name) {
                *member = value;
            }
        }
        mail.tls = mail.tls || (key == "tls" && value == "yes");
    }
    mail.text = contents(base + ".eml");
    return mail;
}

}  // namespace

std::string received_mail::token() const {
    constexpr std::size_t size = 43;
    const auto at = text.find("token=");
    if (at == std::string::npos) {
        throw std::runtime_error("no token in " + text);
    }
    return text.substr(at + 6, size);
}

mail_server mail_server::working(const std::vector<std::string>& options) {
    mail_server made;
    made.start("server.py", options);
    return made;
}

mail_server mail_server::broken(const std::string& mode) {
    mail_server made;
    made.start("broken.py", {mode});
    return made;
}

void mail_server::start(const std::string& script, std::vector<std::string> options) {
    folder_ = std::make_unique<temporary_folder>();
    options.insert(options.begin(), std::string(INSULA_SMTP_SCRIPTS) + "/" + script);
    if (script == "server.py") {
        options.insert(options.end(), {"--folder", folder_->path()});
    }
    // Not whatever python3 comes first: Debian's packages are this one's.
    process_ = std::make_unique<child_process>("/usr/bin/python3", options, environment{});
    const auto line = process_->wait_for_line("listening ", 30s);
    port_ = std::stoi(line.substr(line.find(' ') + 1));
}

std::string mail_server::url(const std::string& login, const std::string& scheme) const {
    return scheme + "://" + login + "localhost:" + std::to_string(port_);
}

std::vector<received_mail> mail_server::mails() const {
    std::vector<received_mail> all;
    for (int n = 1;; ++n) {
        const auto base = folder_->path() + "/" + std::to_string(n);
        if (!std::filesystem::exists(base + ".eml")) {
            return all;
        }
        all.push_back(read_mail(base));
    }
}

std::vector<received_mail> mail_server::wait_for(std::size_t wanted,
                                                 std::chrono::milliseconds limit) const {
    const auto until = std::chrono::steady_clock::now() + limit;
    for (;;) {
        auto all = mails();
        if (all.size() >= wanted) {
            return all;
        }
        if (std::chrono::steady_clock::now() > until) {
            throw std::runtime_error("of " + std::to_string(wanted) + " mails only " +
                                     std::to_string(all.size()) + " came; the server said:\n" +
                                     process_->out() + process_->err());
        }
        std::this_thread::sleep_for(5ms);  // between two looks
    }
}

std::size_t mail_server::count(std::string_view wanted) const {
    std::size_t found = 0;
    std::istringstream lines(process_->out());
    for (std::string line; std::getline(lines, line);) {
        found += line.starts_with(wanted) ? 1 : 0;
    }
    return found;
}

}  // namespace insula::test
