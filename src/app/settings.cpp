// The table of settings: name, help, and how a text becomes a value.

#include "insula/app/config.hpp"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace insula::app {
namespace {

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const auto comma = text.find(',');
        auto part = text.substr(0, comma);
        while (part.starts_with(' ')) {
            part.remove_prefix(1);
        }
        while (part.ends_with(' ')) {
            part.remove_suffix(1);
        }
        if (!part.empty()) {
            parts.emplace_back(part);
        }
        text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    }
    return parts;
}

std::string join(const std::vector<std::string>& parts) {
    return fmt::format("{}", fmt::join(parts, ","));
}

template <auto Member>
std::string set_text(config& values, std::string_view text) {
    values.*Member = std::string(text);
    return {};
}
template <auto Member>
std::string get_text(const config& values) {
    return values.*Member;
}

template <auto Member>
std::string set_list(config& values, std::string_view text) {
    values.*Member = split(text);
    return {};
}
template <auto Member>
std::string get_list(const config& values) {
    return join(values.*Member);
}

template <auto Member, std::int64_t Min, std::int64_t Max>
std::string set_number(config& values, std::string_view text) {
    std::int64_t number = 0;
    const auto* end = text.data() + text.size();
    const auto [at, failed] = std::from_chars(text.data(), end, number);
    if (failed != std::errc() || at != end || number < Min || number > Max) {
        return fmt::format("must be a whole number from {} to {}", Min, Max);
    }
    values.*Member = static_cast<std::remove_reference_t<decltype(values.*Member)>>(number);
    return {};
}
template <auto Member>
std::string get_number(const config& values) {
    return std::to_string(values.*Member);
}

template <auto Member>
std::string set_truth(config& values, std::string_view text) {
    if (text == "true" || text == "on" || text == "1") {
        values.*Member = true;
    } else if (text == "false" || text == "off" || text == "0") {
        values.*Member = false;
    } else {
        return "must be true or false (or on, off, 1, 0)";
    }
    return {};
}
template <auto Member>
std::string get_truth(const config& values) {
    return values.*Member ? "true" : "false";
}

template <auto Member>
std::string set_time(config& values, std::string_view text) {
    const auto parsed = parse_duration(text);
    if (!parsed) {
        return "must be a duration such as 30s, 15m, 48h or 7d";
    }
    values.*Member = *parsed;
    return {};
}
template <auto Member>
std::string get_time(const config& values) {
    return std::to_string((values.*Member).count()) + "s";
}

std::string set_listen(config& values, std::string_view text) {
    auto all = split(text);
    if (all.empty()) {
        return "must be one or more addresses such as 127.0.0.1:8080 or [::1]:8080";
    }
    values.listen = std::move(all);
    return {};
}

std::string set_runtime(config& values, std::string_view text) {
    if (text != "auto" && text != "io_uring" && text != "epoll") {
        return "must be auto, io_uring or epoll";
    }
    values.runtime = std::string(text);
    return {};
}

std::string set_mail(config& values, std::string_view text) {
    if (text != "file" && text != "smtp") {
        return "must be file or smtp";
    }
    values.mail = std::string(text);
    return {};
}

std::string set_smtp_tls(config& values, std::string_view text) {
    if (text != "auto" && text != "required" && text != "off") {
        return "must be auto, required or off";
    }
    values.smtp_tls = std::string(text);
    return {};
}

std::string set_task_history(config& values, std::string_view text) {
    const auto kept = parse_duration(text);
    if (!kept || *kept < std::chrono::hours(1)) {
        return "must be a duration of at least 1h, such as 12h or 30d";
    }
    values.task_history = *kept;
    return {};
}

std::string set_public_url(config& values, std::string_view text) {
    if (!text.empty() && !text.starts_with("http://") && !text.starts_with("https://")) {
        return "must begin with http:// or https://";
    }
    values.public_url = std::string(text);
    return {};
}

std::string set_log(config& values, std::string_view text) {
    for (const auto& part : split(text)) {
        if (const auto level = observe::parse_log_level(part)) {
            values.log_level = *level;
        } else if (const auto format = observe::parse_log_format(part)) {
            values.log_format = *format;
        } else {
            return "must be a level (debug, info, warn, error), a format (json, text) or both: "
                   "info,json";
        }
    }
    return {};
}

std::string get_log(const config& values) {
    constexpr std::string_view levels[] = {"debug", "info", "warn", "error"};
    return fmt::format("{},{}", levels[static_cast<int>(values.log_level)],
                       values.log_format == observe::log_format::json ? "json" : "text");
}

}  // namespace

const std::vector<setting>& settings() {
    using c = config;
    static const std::vector<setting> all{
        {"database_url",
         "PostgreSQL: URI or key=value; host, port, database and TLS (users follow from the "
         "prefix)",
         true, set_text<&c::database_url>, get_text<&c::database_url>},
        {"listen", "addresses to serve on, comma-separated; IPv6 in brackets [127.0.0.1:8080]",
         false, set_listen, get_list<&c::listen>},
        {"admin_listen", "address for metrics and health only [none]", false,
         set_text<&c::admin_listen>, get_text<&c::admin_listen>},
        {"public_url", "issuer of tokens, and links in mail [http://LISTEN]", false, set_public_url,
         get_text<&c::public_url>},
        {"threads", "event loops, one ring each [0: one per core]", false,
         set_number<&c::threads, 0, 256>, get_number<&c::threads>},
        {"runtime", "auto, io_uring or epoll [auto]", false, set_runtime, get_text<&c::runtime>},
        {"cells", "cells to spread tenants over; made at bootstrap, can grow [16]", false,
         set_number<&c::cells, 1, 256>, get_number<&c::cells>},
        {"role_prefix", "prefix of the database roles [insula]", false, set_text<&c::role_prefix>,
         get_text<&c::role_prefix>},
        {"database_connections", "upper bound of this process, all kinds together [48]", false,
         set_number<&c::database_connections, 8, 10'000>, get_number<&c::database_connections>},
        {"workers", "workflow runs at once in this process; 0 for none [4]", false,
         set_number<&c::workers, 0, 256>, get_number<&c::workers>},
        {"mail", "file writes one .eml per message; smtp hands it to smtp_url [file]", false,
         set_mail, get_text<&c::mail>},
        {"mail_dir", "where mail=file writes [DATA/mail]", false, set_text<&c::mail_dir>,
         get_text<&c::mail_dir>},
        {"smtp_url",
         "smtp://USER:PASSWORD@HOST:PORT or smtps://…, user and password percent-encoded", true,
         set_text<&c::smtp_url>, get_text<&c::smtp_url>},
        {"smtp_tls",
         "STARTTLS with smtp://: auto (used when offered, required with a password, none on "
         "loopback), required or off [auto]",
         false, set_smtp_tls, get_text<&c::smtp_tls>},
        {"smtp_ca", "PEM file of the authorities trusted for smtp_url [the system's]", false,
         set_text<&c::smtp_ca>, get_text<&c::smtp_ca>},
        {"mail_from", "sender of mail [Insula <no-reply@localhost>]", false,
         set_text<&c::mail_from>, get_text<&c::mail_from>},
        {"mail_templates", "a directory whose files replace the built-in mail texts [none]", false,
         set_text<&c::mail_templates>, get_text<&c::mail_templates>},
        {"require_verified_email", "log in only with a verified address [true]", false,
         set_truth<&c::require_verified_email>, get_truth<&c::require_verified_email>},
        {"password_passes", "Argon2id passes over the memory [2]", false,
         set_number<&c::password_passes, 1, 100>, get_number<&c::password_passes>},
        {"password_memory",
         "Argon2id memory in MiB, per core at most that much at once; changed costs apply to each "
         "password at its next log-in [19]",
         false, set_number<&c::password_memory, 1, 2048>, get_number<&c::password_memory>},
        {"rate_limit", "off for load tests [on]", false, set_truth<&c::rate_limit>,
         get_truth<&c::rate_limit>},
        {"trusted_proxies", "addresses or networks whose Forwarded headers are believed [none]",
         false, set_list<&c::trusted_proxies>, get_list<&c::trusted_proxies>},
        {"cors_origins", "origins that browsers may call from [none]", false,
         set_list<&c::cors_origins>, get_list<&c::cors_origins>},
        {"key_encryption_key",
         "32 bytes in base64: signing keys, cursors and database passwords derive from it", true,
         set_text<&c::key_encryption_key>, get_text<&c::key_encryption_key>},
        {"log", "level and format: info,json [info,json; dev: info,text]", false, set_log, get_log},
        {"tenant_migrations",
         "a directory of NNNN_name.sql that replaces the example schema's [built in]", false,
         set_text<&c::tenant_migrations>, get_text<&c::tenant_migrations>},
        {"deletion_grace", "how long a deleted tenant can be restored, before it is purged [7d]",
         false, set_time<&c::deletion_grace>, get_time<&c::deletion_grace>},
        {"unverified_ttl", "a registration whose mail was not verified for so long is purged [48h]",
         false, set_time<&c::unverified_ttl>, get_time<&c::unverified_ttl>},
        {"shutdown_grace", "how long running requests and tasks may take after SIGTERM [30s]",
         false, set_time<&c::shutdown_grace>, get_time<&c::shutdown_grace>},
        {"task_history", "how long finished tasks can be looked up [30d]", false, set_task_history,
         get_time<&c::task_history>},
    };
    return all;
}

}  // namespace insula::app
