#include "idempotency.hpp"

#include <algorithm>
#include <charconv>

namespace insula::api {
namespace {

constexpr std::size_t key_bytes_max = 128;
constexpr std::string_view mark_begin = "\"\x01";
static_assert(created_at_mark.starts_with(mark_begin));

bool is_key(std::string_view text) {
    return !text.empty() && text.size() <= key_bytes_max &&
           std::ranges::all_of(text, [](char c) { return c >= 0x20 && c <= 0x7e; });
}

result<std::optional<identity::idempotency>> key_of(const anonymous_context& c,
                                                    std::string_view caller) {
    constexpr std::string_view name = "Idempotency-Key";
    const auto key = c.request.header(name);
    if (!key) {
        return std::optional<identity::idempotency>();
    }
    if (!is_key(*key) || c.request.header_count(name) != 1) {
        return error::validation("header/Idempotency-Key", "invalid_idempotency_key",
                                 "send it once, with 1 to 128 printable ASCII characters");
    }
    return std::optional<identity::idempotency>(std::in_place, c.app.identity.keys, c.request.path,
                                                caller, *key, c.request.body);
}

result<http::response> rebuilt(const result<identity::stored_answer>& found) {
    if (!found) {
        return found.error();
    }
    const auto first = creation_answer::parse(found->text);
    if (!first) {
        return error(errc::overloaded, "Try again.", "a stored answer cannot be read");
    }
    return first->at(found->created_at);
}

/// Up to the next line end, which is taken off as well.
std::optional<std::string_view> take_line(std::string_view& rest) {
    const auto end = rest.find('\n');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    const auto line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return line;
}

}  // namespace

std::string time_mark(std::chrono::seconds after) {
    return std::string(mark_begin) + std::to_string(after.count()) + "\"";
}

std::string creation_answer::stored() const {
    return std::to_string(status) + "\n" + location + "\n" + etag + "\n" + body;
}

std::optional<creation_answer> creation_answer::parse(std::string_view stored) {
    const auto number = take_line(stored);
    const auto where = take_line(stored);
    const auto tag = take_line(stored);
    creation_answer out;
    if (!number || !where || !tag ||
        std::from_chars(number->data(), number->data() + number->size(), out.status).ec !=
            std::errc()) {
        return std::nullopt;
    }
    out.location = *where;
    out.etag = *tag;
    out.body = stored;
    return out;
}

http::response creation_answer::at(timestamp created_at) const {
    std::string text;
    text.reserve(body.size() + 2 * rfc3339_size);
    std::string_view rest = body;
    for (auto mark = rest.find(mark_begin); mark != std::string_view::npos;
         mark = rest.find(mark_begin)) {
        text.append(rest.substr(0, mark));
        rest.remove_prefix(mark + mark_begin.size());
        std::int64_t after = 0;  // created_at_mark has no number
        const auto end = std::from_chars(rest.data(), rest.data() + rest.size(), after).ptr;
        rest.remove_prefix(static_cast<std::size_t>(end - rest.data()) + 1);
        text.append("\"").append(rfc3339(created_at + std::chrono::seconds(after))).append("\"");
    }
    text.append(rest);
    auto made = http::response::json(status, std::move(text));
    made.set("Location", location);
    if (!etag.empty()) {
        made.set("ETag", etag);
    }
    return made;
}

result<std::optional<identity::idempotency>> idempotency_of(const anonymous_context& c) {
    return key_of(c, {});
}

result<std::optional<identity::idempotency>> idempotency_of(const user_context& c) {
    return key_of(c, c.who.subject.str() + " " + (c.who.tenant ? c.who.tenant->str() : "-") + " " +
                         (c.who.actor ? c.who.actor->str() : "-"));
}

runtime::awaitable<result<bool>> repeated(anonymous_context& c,
                                          const std::optional<identity::idempotency>& key) {
    if (!key) {
        co_return false;
    }
    co_return co_await key->repeated(c.app.identity.control, c.request.deadline);
}

answer give_again(anonymous_context& c, const identity::idempotency& key) {
    co_return rebuilt(co_await key.read(c.app.identity.control, c.request.deadline));
}

answer give_again(member_context& c, const identity::idempotency& key) {
    co_return rebuilt(co_await key.read(c.scope));
}

}  // namespace insula::api
