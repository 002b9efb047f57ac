#pragma once
// The mail server that everything goes to (a relay: no MX look-ups here), as an operator names it.

#include "insula/core/error.hpp"
#include "insula/core/secret.hpp"

#include <string>
#include <string_view>

namespace insula::mail {

struct smtp_server {
    enum class encryption {
        none,        ///< loopback: it never leaves the machine
        if_offered,  ///< STARTTLS when the server has it
        starttls,    ///< STARTTLS or nothing
        from_start,  ///< smtps
    };

    std::string host;  ///< a name or an address; IPv6 in brackets
    int port = 0;
    std::string user;  ///< empty: no login
    secret_string password;
    encryption tls = encryption::none;
    /// What we call ourselves in EHLO; empty: the sender's domain.
    std::string name;
    /// PEM file of the authorities that are trusted instead of the system's; empty: the system's.
    std::string ca_file;

    /// `url`: smtp://[USER:PASSWORD@]HOST[:PORT][/NAME] (port 25) or smtps://… (port 465), user and
    /// password percent-encoded. `tls` is "auto", "required" or "off". auto: nothing on loopback;
    /// elsewhere STARTTLS when it is offered, and required when there is a password. A certificate
    /// is always checked. Errors: internal, with a sentence that never repeats the URL.
    [[nodiscard]] static result<smtp_server> parse(std::string_view url, std::string_view tls,
                                                   std::string ca_file);

    [[nodiscard]] bool is_loopback() const noexcept;
    /// "smtp://mail.example.org:587, STARTTLS required, with a login": for logs and doctor.
    [[nodiscard]] std::string describe() const;
};

}  // namespace insula::mail
