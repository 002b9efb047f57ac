#include "insula/tenancy/names.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/crypto.hpp"

#include <algorithm>

namespace insula::tenancy {
namespace {

constexpr std::string_view role_kinds[] = {"owner",        "app",        "worker", "provisioner",
                                           "schema_owner", "gatekeeper", "tenant"};
constexpr std::size_t prefix_size_max = 32;

std::string quoted(std::string_view text, char quote) {
    std::string out(1, quote);
    for (const char c : text) {
        if (c == quote) {
            out.push_back(quote);
        }
        out.push_back(c);
    }
    out.push_back(quote);
    return out;
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
        text.replace(at, what.size(), by);
    }
}

}  // namespace

std::string tenant_name(tenant_id tenant) {
    std::string name;
    name.reserve(2 + 32);
    return name.append("t_").append(tenant.value().hex());
}

std::optional<role_names> role_names::make(std::string_view prefix) {
    const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (prefix.empty() || prefix.size() > prefix_size_max || !lower(prefix.front()) ||
        !std::ranges::all_of(prefix, [&](char c) { return lower(c) || digit(c) || c == '_'; }) ||
        prefix.ends_with("_schema")) {  // x_schema_owner would be the schema owner of prefix x
        return std::nullopt;
    }
    return role_names(std::string(prefix));
}

std::map<std::string, std::string> role_names::placeholders() const {
    std::map<std::string, std::string> out{{"{prefix}", prefix_}};
    for (const auto kind : role_kinds) {
        const auto name = prefix_ + "_" + std::string(kind);
        out["{role:" + std::string(kind) + "}"] = quote_identifier(name);
        out["{name:" + std::string(kind) + "}"] = name;
    }
    return out;
}

std::string expand_names(std::string_view sql, const role_names& roles, std::string_view database) {
    std::string text(sql);
    for (const auto& [what, by] : roles.placeholders()) {
        replace_all(text, what, by);
    }
    replace_all(text, "{database}", quote_identifier(database));
    return text;
}

secret_string login_password(const secret_bytes& key_encryption_key, std::string_view role) {
    const auto derived =
        hkdf_sha256(key_encryption_key.view(), "insula database login " + std::string(role), 32);
    return secret_string(base64url_encode(derived.view()));
}

std::string quote_identifier(std::string_view text) {
    return quoted(text, '"');
}

std::string quote_literal(std::string_view text) {
    // A backslash is an ordinary character only under standard_conforming_strings; E'' is safe
    // under both.
    if (text.find('\\') == std::string_view::npos) {
        return quoted(text, '\'');
    }
    std::string doubled;
    for (const char c : text) {
        doubled.append(c == '\\' ? 2 : 1, c);
    }
    return " E" + quoted(doubled, '\'');
}

}  // namespace insula::tenancy
