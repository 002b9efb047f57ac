#pragma once
// Included by value.hpp: typed getters over one cell.
#include "insula/pg/value.hpp"

namespace insula::pg::detail {

[[noreturn]] void refuse_cell(const cell& c, const char* wanted);
void require_value(const cell& c, const char* wanted);

bool decode_bool(const cell& c);
std::int64_t decode_int(const cell& c, int bytes_max);
double decode_double(const cell& c);
std::string_view decode_text(const cell& c);
uuid decode_uuid(const cell& c);
timestamp decode_timestamp(const cell& c);
std::chrono::microseconds decode_interval(const cell& c);
std::span<const std::uint8_t> decode_bytes(const cell& c);

/// Walks a one-dimensional array; `next` gives each element as a cell.
class array_reader {
public:
    explicit array_reader(const cell& c);
    std::size_t size() const noexcept { return count_; }
    cell next();

private:
    const char* at_ = nullptr;
    const char* end_ = nullptr;
    std::size_t count_ = 0;
    oid element_ = 0;
};

template <>
struct decoder<bool> {
    static bool decode(const cell& c) { return decode_bool(c); }
};
template <std::signed_integral T>
struct decoder<T> {
    static T decode(const cell& c) {
        return static_cast<T>(decode_int(c, static_cast<int>(sizeof(T))));
    }
};
template <>
struct decoder<double> {
    static double decode(const cell& c) { return decode_double(c); }
};
template <>
struct decoder<std::string_view> {
    static std::string_view decode(const cell& c) { return decode_text(c); }
};
template <>
struct decoder<std::string> {
    static std::string decode(const cell& c) { return std::string(decode_text(c)); }
};
template <>
struct decoder<uuid> {
    static uuid decode(const cell& c) { return decode_uuid(c); }
};
template <id_like T>
struct decoder<T> {
    static T decode(const cell& c) { return T(decode_uuid(c)); }
};
template <>
struct decoder<timestamp> {
    static timestamp decode(const cell& c) { return decode_timestamp(c); }
};
template <>
struct decoder<std::chrono::microseconds> {
    static std::chrono::microseconds decode(const cell& c) { return decode_interval(c); }
};
template <>
struct decoder<std::span<const std::uint8_t>> {
    static std::span<const std::uint8_t> decode(const cell& c) { return decode_bytes(c); }
};
template <>
struct decoder<std::vector<std::uint8_t>> {
    static std::vector<std::uint8_t> decode(const cell& c) {
        const auto bytes = decode_bytes(c);
        return {bytes.begin(), bytes.end()};
    }
};
template <class T>
struct decoder<std::optional<T>> {
    static std::optional<T> decode(const cell& c) {
        if (c.null) {
            return std::nullopt;
        }
        return decoder<T>::decode(c);
    }
};
template <class T>
struct decoder<std::vector<T>> {
    static std::vector<T> decode(const cell& c) {
        array_reader reader(c);
        std::vector<T> out;
        out.reserve(reader.size());
        for (std::size_t i = 0; i < reader.size(); ++i) {
            out.push_back(decoder<T>::decode(reader.next()));
        }
        return out;
    }
};

}  // namespace insula::pg::detail
