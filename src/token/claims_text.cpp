#include "token/claims_text.hpp"

#include "token/strict_json.hpp"
#include "token/text_codec.hpp"

#include "insula/core/json_writer.hpp"

#include <algorithm>
#include <stdexcept>

namespace insula::token {

namespace {

constexpr std::string_view role_names[] = {"", "member", "admin", "owner"};

// One bit per claim we know: what came, and what must have come.
enum known : unsigned {
    iss = 1 << 0,
    aud = 1 << 1,
    sub = 1 << 2,
    tid = 1 << 3,
    role_ = 1 << 4,
    sid = 1 << 5,
    sver = 1 << 6,
    jti = 1 << 7,
    iat = 1 << 8,
    exp = 1 << 9,
    act = 1 << 10,
    nbf = 1 << 11,
};
constexpr unsigned required = iss | aud | sub | sid | sver | jti | iat | exp;

/// Three characters as a number, for a switch.
constexpr unsigned key_of(std::string_view three) {
    return static_cast<unsigned>(static_cast<unsigned char>(three[0])) << 16 |
           static_cast<unsigned>(static_cast<unsigned char>(three[1])) << 8 |
           static_cast<unsigned>(static_cast<unsigned char>(three[2]));
}

class reader {
public:
    reader(std::string_view text, const authority& who, parsed_claims& out)
        : json_(text), who_(who), out_(out) {}

    std::optional<refusal> read() {
        if (!json_.open_object()) {
            return refusal::bad_claims;
        }
        bool first = true;
        std::string_view name;
        auto got = strict_json::step::bad;
        while ((got = json_.next(name, first)) == strict_json::step::member) {
            if (!member(name)) {
                return refusal::bad_claims;
            }
        }
        if (got != strict_json::step::end || !json_.finished() || !consistent()) {
            return refusal::bad_claims;
        }
        if (issuer_ != who_.issuer) {
            return refusal::wrong_issuer;
        }
        if (audience_ != who_.audience) {
            return refusal::wrong_audience;
        }
        return std::nullopt;
    }

private:
    bool member(std::string_view name) {
        auto& what = out_.what;
        if (name.size() == 3) {
            switch (key_of(name)) {
                case key_of("iss"):
                    return json_.string(issuer_) && came(iss);
                case key_of("aud"):
                    return json_.string(audience_) && came(aud);
                case key_of("sub"):
                    return id(what.subject) && came(sub);
                case key_of("tid"):
                    return id(what.tenant.emplace()) && came(tid);
                case key_of("sid"):
                    return id(what.session) && came(sid);
                case key_of("jti"):
                    return plain_uuid(what.id) && came(jti);
                case key_of("iat"):
                    return seconds(what.issued_at) && came(iat);
                case key_of("exp"):
                    return seconds(what.expires_at) && came(exp);
                case key_of("nbf"):
                    return json_.integer(out_.not_before.emplace()) && came(nbf);
                case key_of("act"):
                    return actor() && came(act);
                default:
                    return unknown(name);
            }
        }
        if (name == "sver") {
            return json_.integer(what.session_version) && came(sver);
        }
        if (name == "role") {
            return role_here() && came(role_);
        }
        return unknown(name);
    }

    bool unknown(std::string_view name) { return unknown_.add(name) && json_.skip(); }

    /// False when it came before: a duplicate has two readings.
    bool came(unsigned bit) {
        const bool again = (came_ & bit) != 0;
        came_ |= bit;
        return !again;
    }

    bool plain_uuid(uuid& out) {
        std::string_view text;
        return json_.string(text) && parse_canonical_uuid(text, out);
    }

    template <class Id>
    bool id(Id& out) {
        uuid value;
        if (!plain_uuid(value)) {
            return false;
        }
        out = Id(value);
        return true;
    }

    bool seconds(std::chrono::sys_seconds& out) {
        std::int64_t value = 0;
        if (!json_.integer(value) || value > seconds_max) {
            return false;
        }
        out = std::chrono::sys_seconds(std::chrono::seconds(value));
        return true;
    }

    bool role_here() {
        std::string_view text;
        if (!json_.string(text)) {
            return false;
        }
        const auto parsed = parse_role(text);
        out_.what.role = parsed.value_or(role::none);
        return parsed.has_value();
    }

    /// {"sub": operator} and nothing else: a chain of actors is not something we ever sign.
    bool actor() {
        bool first = true;
        std::string_view name;
        return json_.open_object() && json_.next(name, first) == strict_json::step::member &&
               name == "sub" && id(out_.what.actor.emplace()) &&
               json_.next(name, first) == strict_json::step::end;
    }

    bool consistent() const {
        return (came_ & required) == required && !(came_ & tid) == !(came_ & role_) &&
               out_.what.expires_at > out_.what.issued_at;
    }

    strict_json json_;
    const authority& who_;
    parsed_claims& out_;
    std::string_view issuer_;
    std::string_view audience_;
    unsigned came_ = 0;
    strict_json::names unknown_;
};

bool valid_name(std::string_view text) {
    return !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), [](char c) {
        return c > ' ' && c <= '~' && c != '"' && c != '\\';
    });
}

}  // namespace

std::string_view name(role value) noexcept {
    return role_names[static_cast<std::size_t>(value)];
}

std::optional<role> parse_role(std::string_view text) noexcept {
    for (std::size_t i = 1; i < std::size(role_names); ++i) {
        if (role_names[i] == text) {
            return static_cast<role>(i);
        }
    }
    return std::nullopt;
}

void require_valid(const authority& who) {
    if (!valid_name(who.issuer) || !valid_name(who.audience)) {
        throw std::invalid_argument(
            "issuer and audience of tokens must be 1 to 255 printable ASCII characters without "
            "quotes "
            "and backslashes");
    }
}

std::string write_claims(const authority& who, const claims& what) {
    std::string text;
    text.reserve(claims_bytes_max(who));
    json_writer json(text);
    json.begin_object().member("iss", who.issuer).member("aud", who.audience);
    json.member("sub", what.subject);
    if (what.tenant) {
        json.member("tid", *what.tenant).member("role", name(what.role));
    }
    json.member("sid", what.session).member("sver", what.session_version).member("jti", what.id);
    json.member("iat", what.issued_at.time_since_epoch().count());
    json.member("exp", what.expires_at.time_since_epoch().count());
    if (what.actor) {
        json.key("act").begin_object().member("sub", *what.actor).end_object();
    }
    json.end_object();
    return text;
}

std::size_t claims_bytes_max(const authority& who) {
    constexpr std::string_view longest =
        R"({"iss":"","aud":"","sub":"00000000-0000-0000-0000-000000000000",)"
        R"("tid":"00000000-0000-0000-0000-000000000000","role":"member",)"
        R"("sid":"00000000-0000-0000-0000-000000000000","sver":9007199254740991,)"
        R"("jti":"00000000-0000-0000-0000-000000000000","iat":253402300799,"exp":253402300799,)"
        R"("act":{"sub":"00000000-0000-0000-0000-000000000000"}})";
    return longest.size() + who.issuer.size() + who.audience.size();
}

std::optional<refusal> read_claims(std::string_view text, const authority& who,
                                   parsed_claims& out) {
    return reader(text, who, out).read();
}

}  // namespace insula::token
