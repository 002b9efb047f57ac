// Cursors of lists (G01, G05): r TEXT is refused whatever it is, m CHANGES is a good cursor with
// changes (position, octet) and refused when it differs; and every position comes back as it went,
// but for no other list, tenant or filter.
#include "api/cursor.hpp"

#include "support/fuzz.hpp"

#include <cstring>

namespace insula::api {
namespace {

using fuzz::require;

struct fixture {
    secret_bytes key{32};
    identity::secret_keys keys{key};
    tenant_id tenant = tenant_id::make();
    cursor_codec projects{keys, "projects", tenant};
    cursor_codec others[3] = {{keys, "members", tenant},
                              {keys, "projects", tenant_id::make()},
                              {keys, "projects", tenant, "status=open"}};
};

result<std::optional<list_position>> read(const cursor_codec& by, std::string_view cursor) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string query = "cursor=";
    for (const char c : cursor) {
        const auto octet = static_cast<unsigned char>(c);
        query += {'%', digits[octet >> 4], digits[octet & 15]};
    }
    http::request r;
    if (const auto parsed = r.query.parse(query); !parsed) {
        return parsed.error();
    }
    return by.read(r);
}

void check(std::string_view input) {
    static const fixture with;
    list_position position;
    std::int64_t micros = 0;
    const char way = fuzz::take_one(input);
    if (input.size() >= 24) {
        std::memcpy(&micros, input.data(), sizeof micros);
        std::memcpy(position.id.bytes.data(), input.data() + 8, 16);
    }
    position.created_at = timestamp(std::chrono::microseconds(micros));
    const auto good = with.projects.write(position);
    const auto back = read(with.projects, good);
    require(back && *back, "a cursor of ours is refused");
    require((*back)->created_at == position.created_at && (*back)->id == position.id,
            "another position comes back");
    for (const auto& other : with.others) {
        const auto foreign = read(other, good);
        require(!foreign && foreign.error() == errc::invalid_cursor, "a foreign cursor is taken");
    }
    auto text = way == 'm' ? good : std::string(input);
    for (auto left = input; way == 'm' && left.size() >= 2; left.remove_prefix(2)) {
        text[static_cast<unsigned char>(left[0]) % text.size()] = left[1];
    }
    const auto verdict = read(with.projects, text);
    require(verdict.has_value() == (text == good), "a made-up cursor is taken");
}

}  // namespace
}  // namespace insula::api

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    insula::api::check(insula::fuzz::as_text(data, size));
    return 0;
}
