#include "insula/pg/value_decode.hpp"

#include <fmt/format.h>

namespace insula::pg::detail {
namespace {

// Types by number, from PostgreSQL's pg_type.dat; they never change.
constexpr oid bool_oid = 16, bytea_oid = 17, char_oid = 18, name_oid = 19, int8_oid = 20,
              int2_oid = 21, int4_oid = 23, text_oid = 25, oid_oid = 26, xid_oid = 28,
              json_oid = 114, float4_oid = 700, float8_oid = 701, unknown_oid = 705,
              bpchar_oid = 1042, varchar_oid = 1043, timestamptz_oid = 1184, interval_oid = 1186,
              uuid_oid = 2950, jsonb_oid = 3802, xid8_oid = 5069;
constexpr oid first_user_oid = 16384;

constexpr std::int64_t postgres_epoch_us = 946'684'800LL * 1'000'000;

void require(const cell& c, const char* wanted, oid type, int length) {
    require_value(c, wanted);
    if (!c.binary || c.type != type || (length >= 0 && c.length != length)) {
        refuse_cell(c, wanted);
    }
}

bool is_text(oid type) {
    switch (type) {
        case text_oid:
        case varchar_oid:
        case bpchar_oid:
        case name_oid:
        case char_oid:
        case json_oid:
        case unknown_oid:
            return true;
        default:
            // Enums and citext: their binary form is their text. Domains arrive as their base type.
            return type >= first_user_oid;
    }
}

}  // namespace

void refuse_cell(const cell& c, const char* wanted) {
    throw wrong_column(fmt::format("column of type {} ({} bytes, {}) read as {}", c.type, c.length,
                                   c.binary ? "binary" : "text", wanted));
}

void require_value(const cell& c, const char* wanted) {
    if (c.null) {
        throw wrong_column(fmt::format("null of type {} read as {}", c.type, wanted));
    }
}

bool decode_bool(const cell& c) {
    require(c, "bool", bool_oid, 1);
    return c.data[0] != 0;
}

std::int64_t decode_int(const cell& c, int bytes_max) {
    require_value(c, "an integer");
    const bool is_signed = c.type == int2_oid || c.type == int4_oid || c.type == int8_oid;
    const bool is_unsigned = c.type == oid_oid || c.type == xid_oid || c.type == xid8_oid;
    const int size = c.type == int2_oid ? 2 : c.type == int8_oid || c.type == xid8_oid ? 8 : 4;
    // An unsigned 32-bit number needs the next wider signed one.
    const int needed = c.length + (is_unsigned && c.length == 4 ? 4 : 0);
    if (!c.binary || !(is_signed || is_unsigned) || c.length != size || needed > bytes_max) {
        refuse_cell(c, bytes_max == 8 ? "int64" : bytes_max == 4 ? "int32" : "int16");
    }
    const std::uint64_t raw = get_be(c.data, c.length);
    switch (c.type) {
        case int2_oid:
            return static_cast<std::int16_t>(raw);
        case int4_oid:
            return static_cast<std::int32_t>(raw);
        default:
            return static_cast<std::int64_t>(raw);
    }
}

double decode_double(const cell& c) {
    if (c.type == float4_oid && c.binary && !c.null && c.length == 4) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(get_be(c.data, 4)));
    }
    require(c, "double", float8_oid, 8);
    return std::bit_cast<double>(get_be(c.data, 8));
}

std::string_view decode_text(const cell& c) {
    require_value(c, "text");
    const std::string_view whole(c.data, static_cast<std::size_t>(c.length));
    if (!c.binary) {
        return whole;
    }
    if (c.type == jsonb_oid && !whole.empty() && whole.front() == 1) {
        return whole.substr(1);
    }
    if (!is_text(c.type)) {
        refuse_cell(c, "text");
    }
    return whole;
}

uuid decode_uuid(const cell& c) {
    require(c, "uuid", uuid_oid, 16);
    uuid out;
    std::memcpy(out.bytes.data(), c.data, out.bytes.size());
    return out;
}

timestamp decode_timestamp(const cell& c) {
    require(c, "timestamp", timestamptz_oid, 8);
    const auto us = static_cast<std::int64_t>(get_be(c.data, 8));
    const timestamp raw{std::chrono::microseconds(us)};
    if (raw == timestamp::max() || raw == timestamp::min()) {
        return raw;  // infinity, -infinity
    }
    return raw + std::chrono::microseconds(postgres_epoch_us);
}

std::chrono::microseconds decode_interval(const cell& c) {
    require(c, "interval", interval_oid, 16);
    const auto us = static_cast<std::int64_t>(get_be(c.data, 8));
    const auto days = static_cast<std::int32_t>(get_be(c.data + 8, 4));
    const auto months = static_cast<std::int32_t>(get_be(c.data + 12, 4));
    if (months != 0) {
        throw wrong_column("an interval of months has no length in microseconds");
    }
    return std::chrono::microseconds(us) + std::chrono::hours(24 * std::int64_t{days});
}

std::span<const std::uint8_t> decode_bytes(const cell& c) {
    require(c, "bytes", bytea_oid, -1);
    return {reinterpret_cast<const std::uint8_t*>(c.data), static_cast<std::size_t>(c.length)};
}

array_reader::array_reader(const cell& c) {
    require_value(c, "an array");
    if (!c.binary || c.length < 12) {
        refuse_cell(c, "an array");
    }
    const auto dimensions = get_be(c.data, 4);
    element_ = static_cast<oid>(get_be(c.data + 8, 4));
    at_ = c.data + 12;
    end_ = c.data + c.length;
    // The header repeats the element type, so something that is no array is unlikely to pass.
    if (dimensions > 1 || (dimensions == 1 && c.length < 20) || get_be(c.data + 4, 4) > 1) {
        refuse_cell(c, "a one-dimensional array");
    }
    if (dimensions == 1) {
        count_ = get_be(at_, 4);
        at_ += 8;
        if (count_ > static_cast<std::size_t>(end_ - at_) / 4) {
            refuse_cell(c, "an array");
        }
    }
}

cell array_reader::next() {
    cell c;
    c.type = element_;
    c.binary = true;
    if (end_ - at_ < 4) {
        throw wrong_column("array shorter than it says");
    }
    const auto length = static_cast<std::int32_t>(get_be(at_, 4));
    at_ += 4;
    if (length < 0) {
        c.null = true;
        return c;
    }
    if (length > end_ - at_) {
        throw wrong_column("array shorter than it says");
    }
    c.data = at_;
    c.length = length;
    at_ += length;
    return c;
}

}  // namespace insula::pg::detail
