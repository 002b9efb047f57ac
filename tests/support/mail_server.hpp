// A real mail server, as a child process: tests/support/smtp/*.py say how they behave.
#pragma once

#include "support/service_process.hpp"

#include <string>
#include <vector>

namespace insula::test {

/// What the server was told, and what it was sent.
struct received_mail {
    std::string from;        ///< envelope
    std::string to;          ///< envelope; several with commas
    std::string options;     ///< of MAIL FROM
    std::string name;        ///< of EHLO
    std::string login;       ///< as whom; empty: not at all
    std::string connection;  ///< the client's port: the same for one connection
    bool tls = false;
    std::string text;  ///< with CRLF line ends

    /// Of the link in it; throws when there is none.
    std::string token() const;
};

class mail_server {
public:
    /// Works; `options` as server.py has them.
    static mail_server working(const std::vector<std::string>& options = {});
    /// Does not; `mode` as broken.py has it.
    static mail_server broken(const std::string& mode);

    int port() const { return port_; }
    /// "smtp://localhost:PORT"; `login` is "user:password@".
    std::string url(const std::string& login = {}, const std::string& scheme = "smtp") const;
    /// The self-signed certificate (for localhost) of a server with --tls.
    std::string certificate() const { return folder_->path() + "/certificate.pem"; }

    std::vector<received_mail> mails() const;
    /// When there are as many; throws when they do not come in time.
    std::vector<received_mail> wait_for(
        std::size_t count, std::chrono::milliseconds limit = std::chrono::seconds(20)) const;
    /// How many lines of its output begin so: "connection", "hello", "content", "login refused".
    std::size_t count(std::string_view line) const;
    void wait_for_line(std::string_view text) {
        process_->wait_for_line(text, std::chrono::seconds(20));
    }
    child_process& process() { return *process_; }

private:
    mail_server() = default;
    void start(const std::string& script, std::vector<std::string> options);

    std::unique_ptr<temporary_folder> folder_;
    std::unique_ptr<child_process> process_;
    int port_ = 0;
};

}  // namespace insula::test
