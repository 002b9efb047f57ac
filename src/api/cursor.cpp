#include "cursor.hpp"

#include <charconv>

namespace insula::api {
namespace {

constexpr std::size_t cursor_bytes_max = 256;

std::optional<list_position> parse_position(std::string_view text) {
    const auto space = text.find(' ');
    if (space == std::string_view::npos) {
        return std::nullopt;
    }
    std::int64_t micros = 0;
    const auto [at, failed] = std::from_chars(text.data(), text.data() + space, micros);
    const auto id = uuid::parse(text.substr(space + 1));
    if (failed != std::errc() || at != text.data() + space || !id) {
        return std::nullopt;
    }
    return list_position{timestamp(std::chrono::microseconds(micros)), *id};
}

}  // namespace

cursor_codec::cursor_codec(const identity::secret_keys& keys, std::string_view list,
                           tenant_id tenant, std::string_view filters)
    : keys_(keys), about_(std::string(list) + "\n" + tenant.str() + "\n" + std::string(filters)) {}

std::string cursor_codec::write(const list_position& last) const {
    return keys_.seal_cursor(
        std::to_string(last.created_at.time_since_epoch().count()) + " " + last.id.str(), about_);
}

result<std::optional<list_position>> cursor_codec::read(const http::request& r) const {
    const auto text = r.query.find("cursor");
    if (!text) {
        return std::optional<list_position>();
    }
    if (text->size() <= cursor_bytes_max) {
        if (const auto plain = keys_.open_cursor(*text, about_)) {
            if (auto position = parse_position(*plain)) {
                return position;
            }
        }
    }
    return error(
        errc::invalid_cursor,
        "The cursor is not one of this list: begin again without it, with the same filters.");
}

}  // namespace insula::api
