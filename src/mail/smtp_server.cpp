#include "insula/mail/smtp_server.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace insula::mail {
namespace {

using url_handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

error wrong(std::string sentence) {
    return {errc::internal, {}, std::move(sentence)};
}

// Decoded; empty when there is none, nullopt when it decodes to control characters.
std::optional<std::string> part(const url_handle& url, CURLUPart which, unsigned flags = 0) {
    char* text = nullptr;
    const auto code = curl_url_get(url.get(), which, &text, flags);
    if (code != CURLUE_OK) {
        return code == CURLUE_URLDECODE ? std::nullopt : std::optional<std::string>("");
    }
    const std::unique_ptr<char, decltype(&curl_free)> owned(text, &curl_free);
    return std::string(text);
}

bool is_host_name(std::string_view text) noexcept {
    return !text.empty() && text.size() <= 253 &&
           std::ranges::all_of(text,
                               [](char c) {
                                   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                          (c >= '0' && c <= '9') || c == '.' || c == '-';
                               }) &&
           text.front() != '-' && text.front() != '.';
}

bool is_host(std::string_view text) noexcept {
    if (text.starts_with('[')) {
        return text.ends_with(']') && text.size() > 4;
    }
    return is_host_name(text);
}

result<> set_encryption(smtp_server& server, bool smtps, std::string_view setting) {
    using enum smtp_server::encryption;
    if (setting != "auto" && setting != "required" && setting != "off") {
        return wrong("smtp_tls must be auto, required or off.");
    }
    if (smtps) {
        server.tls = from_start;
        return setting == "off" ? result<>(wrong("smtp_tls=off contradicts smtps:// in smtp_url."))
                                : result<>();
    }
    const bool secret = !server.user.empty();
    if (setting == "off") {
        if (secret && !server.is_loopback()) {
            return wrong(
                "smtp_tls=off would send the password in smtp_url in the clear to another "
                "machine: leave it at auto, or use smtps://.");
        }
        server.tls = none;
    } else if (setting == "required") {
        server.tls = starttls;
    } else if (server.is_loopback()) {
        server.tls = none;
    } else {
        server.tls = secret ? starttls : if_offered;
    }
    return {};
}

}  // namespace

result<smtp_server> smtp_server::parse(std::string_view url, std::string_view tls,
                                       std::string ca_file) {
    constexpr auto shape =
        "smtp_url must be smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://…, user "
        "and password percent-encoded.";
    const url_handle parsed(curl_url(), &curl_url_cleanup);
    const auto scheme = url.substr(0, std::min(url.find("://"), url.size()));
    if ((scheme != "smtp" && scheme != "smtps") || url.find('\0') != std::string_view::npos ||
        curl_url_set(parsed.get(), CURLUPART_URL, std::string(url).c_str(), 0) != CURLUE_OK) {
        return wrong(shape);
    }
    const auto user = part(parsed, CURLUPART_USER, CURLU_URLDECODE);
    const auto password = part(parsed, CURLUPART_PASSWORD, CURLU_URLDECODE);
    const auto host = part(parsed, CURLUPART_HOST);
    const auto path = part(parsed, CURLUPART_PATH);
    if (!user || !password || !host || !path || !is_host(*host) ||
        part(parsed, CURLUPART_OPTIONS) != "" || part(parsed, CURLUPART_QUERY) != "" ||
        part(parsed, CURLUPART_FRAGMENT) != "" || user->empty() != password->empty()) {
        return wrong(shape);
    }
    smtp_server server;
    server.host = *host;
    server.user = *user;
    server.password = secret_string(*password);
    server.ca_file = std::move(ca_file);
    const auto port = part(parsed, CURLUPART_PORT).value_or("");
    server.port = port.empty() ? (scheme == "smtps" ? 465 : 25) : std::stoi(port);
    server.name = path->substr(std::min<std::size_t>(path->size(), 1));
    if (server.port < 1 || (!server.name.empty() && !is_host_name(server.name))) {
        return wrong(shape);
    }
    if (auto done = set_encryption(server, scheme == "smtps", tls); !done) {
        return done.error();
    }
    return server;
}

bool smtp_server::is_loopback() const noexcept {
    const auto ends_v4 = [this] {
        return std::ranges::all_of(host, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
    };
    return host == "localhost" || host == "[::1]" || (host.starts_with("127.") && ends_v4());
}

std::string smtp_server::describe() const {
    std::string text = tls == encryption::from_start ? "smtps://" : "smtp://";
    text += host + ":" + std::to_string(port);
    switch (tls) {
        case encryption::none:
            text += ", not encrypted";
            break;
        case encryption::if_offered:
            text += ", STARTTLS when offered";
            break;
        case encryption::starttls:
            text += ", STARTTLS required";
            break;
        case encryption::from_start:
            break;
    }
    return text + (user.empty() ? "" : ", with a login");
}

}  // namespace insula::mail
