#include "insula/core/json_writer.hpp"
#include "insula/core/text.hpp"
#include "insula/observe/log.hpp"

#include <fmt/format.h>

namespace insula::observe {
namespace {

std::string_view level_name(log_level level) noexcept {
    switch (level) {
        case log_level::debug:
            return "debug";
        case log_level::info:
            return "info";
        case log_level::warn:
            return "warn";
        case log_level::error:
            break;
    }
    return "error";
}

// No value may use this up: whoever logs a body by mistake gets its beginning.
constexpr std::size_t value_bytes_max = 4096;

std::string format_json(log_level level, timestamp at, std::string_view event,
                        std::initializer_list<field> fields) {
    std::string line;
    line.reserve(256);
    json_writer json(line);
    json.begin_object().member("time", at).member("level", level_name(level));
    json.member("event", event);
    for (const auto& one : fields) {
        if (one.key.empty()) {
            continue;
        }
        json.key(one.key);
        std::visit(
            [&json](const auto& value) {
                if constexpr (std::is_convertible_v<decltype(value), std::string_view>) {
                    json.value(utf8_prefix(value, value_bytes_max));
                } else {
                    json.value(value);
                }
            },
            one.value);
    }
    json.end_object();
    return line;
}

bool needs_quotes(std::string_view text) noexcept {
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte >= 0x7f || c == '"' || c == '=' || c == '\\') {
            return true;
        }
    }
    return text.empty();
}

// A terminal obeys escape sequences and C1 controls, and a reader trusts line ends and text
// direction: what came from outside must not play either.
void append_text_value(std::string& line, std::string_view text) {
    text = utf8_prefix(text, value_bytes_max);
    if (!needs_quotes(text)) {
        line.append(text);
    } else if (valid_utf8(text) && !has_control_characters(text)) {
        append_json_string(line, text);
    } else {
        line.push_back('"');
        for (const char c : text) {
            const auto byte = static_cast<unsigned char>(c);
            if (c == '"' || c == '\\') {
                line.push_back('\\');
                line.push_back(c);
            } else if (byte >= 0x20 && byte < 0x7f) {
                line.push_back(c);
            } else {
                fmt::format_to(std::back_inserter(line), "\\x{:02x}", byte);
            }
        }
        line.push_back('"');
    }
}

std::string format_text(log_level level, timestamp at, std::string_view event,
                        std::initializer_list<field> fields) {
    std::string line;
    line.reserve(256);
    line.append(rfc3339(at));
    fmt::format_to(std::back_inserter(line), " {:<5} ", level_name(level));
    if (valid_utf8(event) && !has_control_characters(event)) {
        line.append(utf8_prefix(event, value_bytes_max));
    } else {
        append_text_value(line, event);
    }
    for (const auto& one : fields) {
        if (one.key.empty()) {
            continue;
        }
        line.push_back(' ');
        line.append(one.key);
        line.push_back('=');
        std::visit(
            [&line](const auto& value) {
                if constexpr (std::is_convertible_v<decltype(value), std::string_view>) {
                    append_text_value(line, value);
                } else {
                    fmt::format_to(std::back_inserter(line), "{}", value);
                }
            },
            one.value);
    }
    return line;
}

}  // namespace

std::string format_log_line(log_format format, log_level level, timestamp at,
                            std::string_view event, std::initializer_list<field> fields) {
    return format == log_format::json ? format_json(level, at, event, fields)
                                      : format_text(level, at, event, fields);
}

}  // namespace insula::observe
