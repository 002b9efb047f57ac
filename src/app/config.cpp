#include "insula/app/config.hpp"

#include "insula/core/base64.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

namespace insula::app {
namespace {

constexpr std::string_view environment_prefix = "INSULA_";
// Read by scripts, tests and fault points, not by the configuration.
constexpr std::string_view foreign_prefixes[] = {"INSULA_TEST_", "INSULA_FAULT", "INSULA_BENCH_"};

error wrong(std::string sentence) {
    return {errc::internal, {}, std::move(sentence)};
}

std::string upper(std::string_view text) {
    std::string out(text);
    for (auto& c : out) {
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return out;
}

const setting* find_setting(std::string_view name) {
    const auto found = std::ranges::find(settings(), name, &setting::name);
    return found == settings().end() ? nullptr : &*found;
}

std::string nearest(std::string_view name) {
    std::string best;
    std::size_t best_common = 0;
    for (const auto& s : settings()) {
        const auto common =
            static_cast<std::size_t>(std::ranges::mismatch(s.name, name).in1 - s.name.begin());
        if (common > best_common) {
            best_common = common;
            best = s.name;
        }
    }
    return best_common >= 3 ? " (did you mean " + best + "?)" : "";
}

result<> apply(config& values, const setting& what, std::string_view text,
               const std::string& origin) {
    if (auto problem = what.set(values, text); !problem.empty()) {
        return wrong(origin + " " + problem + ".");
    }
    return {};
}

/// A TOML value as the text an environment variable would hold.
std::optional<std::string> as_setting_text(const toml::node& node) {
    if (const auto* text = node.as_string()) {
        return text->get();
    }
    if (const auto* number = node.as_integer()) {
        return std::to_string(number->get());
    }
    if (const auto* truth = node.as_boolean()) {
        return truth->get() ? "true" : "false";
    }
    if (const auto* list = node.as_array()) {
        std::string joined;
        for (const auto& item : *list) {
            const auto* text = item.as_string();
            if (text == nullptr) {
                return std::nullopt;
            }
            joined += joined.empty() ? "" : ",";
            joined += text->get();
        }
        return joined;
    }
    return std::nullopt;
}

result<> apply_rates(config& values, const toml::table& table, const std::string& file) {
    for (const auto& [key, node] : table) {
        const auto* text = node.as_string();
        if (text == nullptr) {
            return wrong(file + ": [rate_limit] " + std::string(key.str()) +
                         " must be a text such as \"5/min\" or \"10/s burst 20\".");
        }
        values.rates[std::string(key.str())] = text->get();
    }
    return {};
}

result<> apply_limits(config& values, const toml::table& table, const std::string& file) {
    auto& limits = values.http_limits;
    const std::map<std::string_view, std::size_t*> sizes{
        {"body_bytes_max", &limits.body_bytes_max},
        {"bodies_bytes_max", &limits.bodies_bytes_max},
        {"header_bytes_max", &limits.header_bytes_max},
        {"connections_max", &limits.connections_max},
        {"in_flight_max", &limits.in_flight_max}};
    const std::map<std::string_view, std::chrono::milliseconds*> times{
        {"header_timeout", &limits.header_timeout},
        {"body_timeout", &limits.body_timeout},
        {"idle_timeout", &limits.idle_timeout},
        {"write_timeout", &limits.write_timeout},
        {"request_timeout", &limits.request_timeout}};
    for (const auto& [key, node] : table) {
        const std::string_view name = key.str();
        const auto size = sizes.find(name);
        const auto time = times.find(name);
        if (size != sizes.end() && node.is_integer() && node.as_integer()->get() > 0) {
            *size->second = static_cast<std::size_t>(node.as_integer()->get());
        } else if (time != times.end() && node.is_string() &&
                   parse_duration(node.as_string()->get())) {
            *time->second = *parse_duration(node.as_string()->get());
        } else if (size == sizes.end() && time == times.end()) {
            return wrong(file + ": [http] has no key " + std::string(name) + ".");
        } else {
            return wrong(file + ": [http] " + std::string(name) +
                         (time != times.end() ? " must be a duration such as \"10s\"."
                                              : " must be a number above 0."));
        }
    }
    return {};
}

result<> apply_file(config& values, const std::string& file) {
    toml::table table;
    try {
        table = toml::parse_file(file);
    } catch (const toml::parse_error& e) {
        std::ostringstream where;
        where << e.source().begin;
        return wrong(file + ": " + std::string(e.description()) + " (" + where.str() + ").");
    }
    for (const auto& [key, node] : table) {
        const std::string name(key.str());
        if (const auto* sub = node.as_table();
            sub != nullptr && (name == "rate_limit" || name == "http")) {
            auto applied =
                name == "http" ? apply_limits(values, *sub, file) : apply_rates(values, *sub, file);
            if (!applied) {
                return applied;
            }
            continue;
        }
        const auto* what = find_setting(name);
        if (what == nullptr) {
            return wrong(fmt::format("{}: there is no setting {}{}.", file, name, nearest(name)));
        }
        const auto text = as_setting_text(node);
        if (!text) {
            return wrong(fmt::format(
                "{}: {} must be a text, a number, a truth value or a list of texts.", file, name));
        }
        if (auto applied = apply(values, *what, *text, fmt::format("{}: {}", file, name));
            !applied) {
            return applied;
        }
    }
    return {};
}

result<> apply_environment(config& values, const std::vector<std::string>& environment) {
    for (const auto& entry : environment) {
        const auto equals = entry.find('=');
        if (equals == std::string::npos || !entry.starts_with(environment_prefix) ||
            std::ranges::any_of(foreign_prefixes,
                                [&](auto prefix) { return entry.starts_with(prefix); })) {
            continue;
        }
        const auto variable = entry.substr(0, equals);
        const auto found = std::ranges::find(settings(), variable, &setting::environment);
        if (found == settings().end()) {
            return wrong("There is no setting " + variable +
                         "; see insula serve --help for the list.");
        }
        if (auto applied =
                apply(values, *found, std::string_view(entry).substr(equals + 1), variable);
            !applied) {
            return applied;
        }
    }
    return {};
}

}  // namespace

std::string setting::environment() const {
    return std::string(environment_prefix) + upper(name);
}

std::string setting::flag() const {
    std::string out = "--" + std::string(name);
    std::ranges::replace(out, '_', '-');
    return out;
}

std::string config::effective_public_url() const {
    std::string url = public_url.empty() ? "http://" + listen.front() : public_url;
    while (url.ends_with('/')) {
        url.pop_back();
    }
    return url;
}

result<secret_bytes> config::key() const {
    if (key_encryption_key.empty()) {
        return wrong(
            "INSULA_KEY_ENCRYPTION_KEY is not set. Make one with: openssl rand -base64 32");
    }
    const auto raw = base64_decode(key_encryption_key);
    if (!raw || raw->size() != 32) {
        return wrong(
            "INSULA_KEY_ENCRYPTION_KEY must be 32 bytes in base64. Make one with: openssl rand "
            "-base64 32");
    }
    return secret_bytes(*raw);
}

result<config> load_config(const config_sources& sources, config base) {
    config values = std::move(base);
    if (!sources.file.empty()) {
        if (auto applied = apply_file(values, sources.file); !applied) {
            return applied.error();
        }
    }
    if (auto applied = apply_environment(values, sources.environment); !applied) {
        return applied.error();
    }
    for (const auto& [name, text] : sources.flags) {
        const auto* what = find_setting(name);
        if (what == nullptr) {
            return wrong("There is no setting " + name + nearest(name) + ".");
        }
        if (auto applied = apply(values, *what, text, what->flag()); !applied) {
            return applied.error();
        }
    }
    return values;
}

std::string print_config(const config& values) {
    std::string out;
    for (const auto& s : settings()) {
        const auto value = s.get(values);
        out +=
            fmt::format("{} = \"{}\"\n", s.name, s.secret && !value.empty() ? "(redacted)" : value);
    }
    if (!values.rates.empty()) {
        out += "\n[rate_limit]\n";
        for (const auto& [name, rate] : values.rates) {
            out += fmt::format("{} = \"{}\"\n", name, rate);
        }
    }
    return out;
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
    std::int64_t number = 0;
    const auto* end = text.data() + text.size();
    const auto [at, failed] = std::from_chars(text.data(), end, number);
    if (failed != std::errc() || number < 0 || number > 100'000'000) {
        return std::nullopt;
    }
    const std::string_view unit(at, static_cast<std::size_t>(end - at));
    if (unit == "s") {
        return std::chrono::seconds(number);
    }
    if (unit == "m" || unit == "min") {
        return std::chrono::minutes(number);
    }
    if (unit == "h") {
        return std::chrono::hours(number);
    }
    return unit == "d" ? std::optional<std::chrono::seconds>(std::chrono::hours(24 * number))
                       : std::nullopt;
}

}  // namespace insula::app
