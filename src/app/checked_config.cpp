#include "instance_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace insula::app {
namespace {

error wrong(std::string sentence) {
    return {errc::internal, {}, std::move(sentence)};
}

std::optional<double> take_number(std::string_view& text) {
    double number = 0;
    const auto [at, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc() || number <= 0) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(at - text.data()));
    return number;
}

/// "5/min", "10/s burst 20".
bool parse_rate(std::string_view text, http::rate_class& into) {
    const auto count = take_number(text);
    if (!count || !text.starts_with('/')) {
        return false;
    }
    text.remove_prefix(1);
    double seconds = 0;
    for (const auto& [unit, length] :
         {std::pair<std::string_view, double>{"min", 60}, {"s", 1}, {"h", 3600}}) {
        if (text.starts_with(unit)) {
            seconds = length;
            text.remove_prefix(unit.size());
            break;
        }
    }
    if (seconds == 0) {
        return false;
    }
    into.per_second = *count / seconds;
    into.burst = std::max(1.0, *count);
    if (text.empty()) {
        return true;
    }
    constexpr std::string_view burst = " burst ";
    if (!text.starts_with(burst)) {
        return false;
    }
    text.remove_prefix(burst.size());
    const auto size = take_number(text);
    into.burst = size.value_or(0);
    return size && *size >= 1 && text.empty();
}

result<std::vector<http::rate_class>> rates_of(const config& values) {
    auto classes = api::rate_classes(values.rate_scale);
    for (const auto& [name, text] : values.rates) {
        const auto found = std::ranges::find(classes, name, &http::rate_class::name);
        if (found == classes.end()) {
            std::string known;
            for (const auto& one : classes) {
                known += (known.empty() ? "" : ", ") + one.name;
            }
            return wrong(fmt::format("[rate_limit] has no class {}; there are: {}.", name, known));
        }
        if (!parse_rate(text, *found)) {
            return wrong(fmt::format(
                R"([rate_limit] {} must be like "5/min", "3/h" or "10/s burst 20".)", name));
        }
    }
    return classes;
}

}  // namespace

result<std::optional<mail::smtp_server>> smtp_server_of(const config& values,
                                                        const mail::mailbox& sender) {
    if (values.mail != "smtp") {
        return std::optional<mail::smtp_server>();
    }
    if (values.smtp_url.empty()) {
        return wrong(
            "mail=smtp needs smtp_url (INSULA_SMTP_URL), such as "
            "smtp://user:password@mail.example.org:587.");
    }
    auto server = mail::smtp_server::parse(values.smtp_url, values.smtp_tls, values.smtp_ca);
    if (!server) {
        return server.error();
    }
    if (!server->is_loopback() && sender.address.domain() == "localhost") {
        return wrong(
            "mail=smtp needs mail_from (INSULA_MAIL_FROM), an address that the server may "
            "send for, such as Insula <no-reply@example.org>.");
    }
    return std::optional<mail::smtp_server>(std::move(*server));
}

result<checked_config> checked_config::make(config values) {
    if (values.database_url.empty()) {
        return wrong(
            "INSULA_DATABASE_URL is not set: give a PostgreSQL URI, such as "
            "postgresql://db.example/insula "
            "(or run insula dev, which needs no database).");
    }
    auto key = values.key();
    if (!key) {
        return key.error();
    }
    auto url = database_url::parse(values.database_url);
    if (!url) {
        return url.error();
    }
    auto roles = roles_of(values);
    if (!roles) {
        return roles.error();
    }
    auto files = tenant_migration_files::load(values);
    if (!files) {
        return files.error();
    }
    auto proxies = http::trusted_proxies::parse(values.trusted_proxies);
    if (!proxies) {
        return proxies.error();
    }
    auto sender = mail::mailbox::parse(values.mail_from);
    if (!sender) {
        return wrong("mail_from " + sender.error().detail +
                     "; write it as Insula <no-reply@example.org>.");
    }
    auto smtp = smtp_server_of(values, *sender);
    if (!smtp) {
        return smtp.error();
    }
    auto rates = rates_of(values);
    if (!rates) {
        return rates.error();
    }
    return checked_config{std::move(values), std::move(*key),    std::move(*url),
                          std::move(*roles), std::move(*files),  std::move(*proxies),
                          std::move(*rates), std::move(*sender), std::move(*smtp)};
}

}  // namespace insula::app
