#include "pg/detail/sql_text.hpp"

namespace insula::pg::detail {
namespace {
constexpr std::string_view placeholder = "{t}";
}

bool has_schema_placeholder(std::string_view sql) noexcept {
    return sql.find(placeholder) != std::string_view::npos;
}

std::string expand_schema(std::string_view sql, const uuid& schema) {
    const std::string name = "\"t_" + schema.hex() + '"';
    std::string out;
    out.reserve(sql.size() + 2 * name.size());
    for (;;) {
        const auto at = sql.find(placeholder);
        if (at == std::string_view::npos) {
            break;
        }
        out.append(sql.substr(0, at)).append(name);
        sql.remove_prefix(at + placeholder.size());
    }
    return out.append(sql);
}

std::string quote_identifier(std::string_view name) {
    std::string out = "\"";
    for (const char c : name) {
        if (c == '"') {
            out.push_back('"');
        }
        out.push_back(c);
    }
    out.push_back('"');
    return out;
}

}  // namespace insula::pg::detail
