#pragma once
#include "insula/core/time.hpp"
#include "insula/core/uuid.hpp"

#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

struct pg_result;  // libpq's PGresult

namespace insula::pg {

using oid = std::uint32_t;

/// A JSON text to be stored as jsonb. Not checked here: PostgreSQL refuses what is not JSON.
struct jsonb {
    std::string_view text;
};

namespace detail {

void put_be(std::vector<char>& out, std::uint64_t value, int bytes);
std::uint64_t get_be(const char* data, int bytes) noexcept;

/// Where a value's type is known to libpq and us by number; see `codec` specialisations for the
/// list.
template <class T>
struct codec;  // { static constexpr oid type, array_type; static void encode(const T&,
               // std::vector<char>&); }

template <class T>
concept id_like = requires(const T& t) {
    { t.value() } -> std::convertible_to<uuid>;
} && !std::same_as<T, uuid>;

template <class T>
concept text_like = std::convertible_to<const T&, std::string_view>;

/// Domain values of core (slug, email_address, …) travel as text.
template <class T>
concept named_text =
    !text_like<T> && !id_like<T> && !std::same_as<T, uuid> && requires(const T& t) {
        { t.str() } -> std::convertible_to<std::string_view>;
    };

template <class T>
struct int_codec {
    static void encode(T v, std::vector<char>& out) {
        put_be(out, static_cast<std::uint64_t>(v), static_cast<int>(sizeof(T)));
    }
};
template <>
struct codec<bool> {
    static constexpr oid type = 16, array_type = 1000;
    static void encode(bool v, std::vector<char>& out) { out.push_back(v ? 1 : 0); }
};
template <>
struct codec<std::int16_t> : int_codec<std::int16_t> {
    static constexpr oid type = 21, array_type = 1005;
};
template <>
struct codec<std::int32_t> : int_codec<std::int32_t> {
    static constexpr oid type = 23, array_type = 1007;
};
template <>
struct codec<std::int64_t> : int_codec<std::int64_t> {
    static constexpr oid type = 20, array_type = 1016;
};
template <>
struct codec<long long> : int_codec<long long> {
    static constexpr oid type = 20, array_type = 1016;
};
template <>
struct codec<double> {
    static constexpr oid type = 701, array_type = 1022;
    static void encode(double v, std::vector<char>& out) {
        put_be(out, std::bit_cast<std::uint64_t>(v), 8);
    }
};
template <>
struct codec<uuid> {
    static constexpr oid type = 2950, array_type = 2951;
    static void encode(const uuid& v, std::vector<char>& out) {
        const auto* p = reinterpret_cast<const char*>(v.bytes.data());
        out.insert(out.end(), p, p + v.bytes.size());
    }
};
template <id_like T>
struct codec<T> {
    static constexpr oid type = 2950, array_type = 2951;
    static void encode(const T& v, std::vector<char>& out) { codec<uuid>::encode(v.value(), out); }
};
template <>
struct codec<timestamp> {
    static constexpr oid type = 1184, array_type = 1185;
    static void encode(timestamp v, std::vector<char>& out);
};
template <>
struct codec<std::chrono::microseconds> {  // interval
    static constexpr oid type = 1186, array_type = 1187;
    static void encode(std::chrono::microseconds v, std::vector<char>& out);
};
template <class Rep, class Period>
struct codec<std::chrono::duration<Rep, Period>> {
    static constexpr oid type = 1186, array_type = 1187;
    static void encode(std::chrono::duration<Rep, Period> v, std::vector<char>& out) {
        codec<std::chrono::microseconds>::encode(
            std::chrono::duration_cast<std::chrono::microseconds>(v), out);
    }
};
template <text_like T>
struct codec<T> {
    static constexpr oid type = 25, array_type = 1009;
    static void encode(const T& v, std::vector<char>& out) {
        const std::string_view s = v;
        out.insert(out.end(), s.begin(), s.end());
    }
};
template <named_text T>
struct codec<T> {
    static constexpr oid type = 25, array_type = 1009;
    static void encode(const T& v, std::vector<char>& out) {
        const std::string_view s = v.str();
        out.insert(out.end(), s.begin(), s.end());
    }
};
template <>
struct codec<jsonb> {
    static constexpr oid type = 3802, array_type = 3807;
    static void encode(const jsonb& v, std::vector<char>& out) {
        out.push_back(1);  // jsonb's binary format: one version byte, then the text
        out.insert(out.end(), v.text.begin(), v.text.end());
    }
};

/// Bytes: a contiguous range of std::uint8_t or std::byte.
template <class T>
concept byte_range = requires(const T& t) {
    { std::span(t).data() };
    requires std::same_as<std::remove_cv_t<typename decltype(std::span(t))::element_type>,
                          std::uint8_t> ||
                 std::same_as<std::remove_cv_t<typename decltype(std::span(t))::element_type>,
                              std::byte>;
};
template <byte_range T>
    requires(!named_text<T>)
struct codec<T> {
    static constexpr oid type = 17, array_type = 1001;
    static void encode(const T& v, std::vector<char>& out) {
        const auto bytes = std::span(v);
        const auto* p = reinterpret_cast<const char*>(bytes.data());
        out.insert(out.end(), p, p + bytes.size());
    }
};

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};

/// Begins a one-dimensional array; element headers are appended by the caller.
void put_array_header(std::vector<char>& out, oid element, std::size_t count, bool has_null);
std::size_t begin_sized(std::vector<char>& out);
void end_sized(std::vector<char>& out, std::size_t mark);

template <class T>
concept element_range = !text_like<T> && !byte_range<T> && !named_text<T> && requires(const T& t) {
    { std::span(t).data() };
};
template <element_range T>
struct codec<T> {
    using raw =
        std::remove_cv_t<typename decltype(std::span(std::declval<const T&>()))::element_type>;
    static constexpr bool nullable = is_optional<raw>::value;
    template <class E>
    struct inner {
        using type = E;
    };
    template <class E>
    struct inner<std::optional<E>> {
        using type = E;
    };
    using element = typename inner<raw>::type;
    static constexpr oid type = codec<element>::array_type;
    static constexpr oid array_type = 0;

    static void encode(const T& v, std::vector<char>& out) {
        const auto items = std::span(v);
        put_array_header(out, codec<element>::type, items.size(), nullable);
        for (const auto& item : items) {
            const auto mark = begin_sized(out);
            if constexpr (nullable) {
                if (!item) {
                    continue;  // the length stays -1
                }
                codec<element>::encode(*item, out);
            } else {
                codec<element>::encode(item, out);
            }
            end_sized(out, mark);
        }
    }
};

}  // namespace detail

/// Parameters of a unit, encoded in PostgreSQL's binary format one behind the other in one buffer.
/// Types: bool, int16/32/64, double, text (std::string, string_view, literals, and core's value
/// types through str()), uuid and ids, timestamp (timestamptz), durations (interval), bytes
/// (bytea), jsonb, std::optional of these (null), and vectors or spans of these (arrays).
/// std::nullopt is an untyped null.
class param_list {
public:
    struct slot {
        std::uint32_t offset;
        std::int32_t length;  ///< -1: null
        oid type;             ///< 0: the server decides
    };

    template <class T>
    void push(const T& value) {
        if (slots_.empty()) {
            slots_.reserve(8);
            bytes_.reserve(256);
        }
        if constexpr (std::same_as<T, std::nullopt_t> || std::same_as<T, std::nullptr_t>) {
            slots_.push_back({static_cast<std::uint32_t>(bytes_.size()), -1, 0});
        } else if constexpr (detail::is_optional<T>::value) {
            if (value) {
                push(*value);
            } else {
                slots_.push_back({static_cast<std::uint32_t>(bytes_.size()), -1,
                                  detail::codec<typename T::value_type>::type});
            }
        } else {
            const auto before = bytes_.size();
            detail::codec<T>::encode(value, bytes_);
            close_slot(before, detail::codec<T>::type);
        }
    }

    /// All of `other`, behind what is here.
    void append(const param_list& other);

    std::size_t size() const noexcept { return slots_.size(); }
    const slot& operator[](std::size_t i) const noexcept { return slots_[i]; }
    const char* data(const slot& s) const noexcept {
        // Never null: to libpq a null pointer is SQL's NULL.
        return s.length == 0 ? "" : bytes_.data() + s.offset;
    }
    std::size_t bytes() const noexcept { return bytes_.size(); }

private:
    void close_slot(std::size_t before, oid type);

    std::vector<char> bytes_;
    std::vector<slot> slots_;
};

/// One value as the server sent it. Points into its result_set.
struct cell {
    const char* data = nullptr;
    int length = 0;
    bool null = false;
    bool binary = false;
    oid type = 0;
};

/// A getter that does not fit the column, a null read as a plain value, a column that does not
/// exist: a bug.
class wrong_column : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

namespace detail {
template <class T>
struct decoder;  // { static T decode(const cell&); } in value_decode.hpp
}

/// One row; valid as long as its result_set.
class row {
public:
    row(const ::pg_result* result, int index) noexcept : result_(result), index_(index) {}

    /// T: bool, int16/32/64 (never narrowing), double, std::string_view (into the result) and
    /// std::string for text, enums, json and jsonb, uuid and ids, timestamp, microseconds,
    /// std::vector<std::uint8_t> and std::span<const std::uint8_t> for bytea, std::vector of these
    /// for arrays, std::optional of these. Throws wrong_column when type or nullness do not fit.
    template <class T>
    T get(int column) const {
        return detail::decoder<T>::decode(at(column));
    }
    template <class T>
    T get(std::string_view column) const {
        return detail::decoder<T>::decode(at(index_of(column)));
    }
    bool is_null(int column) const { return at(column).null; }
    cell at(int column) const;
    int index_of(std::string_view column) const;

private:
    const ::pg_result* result_;
    int index_;
};

/// What one statement answered. Owns libpq's result; move-only.
class result_set {
public:
    result_set() noexcept = default;
    explicit result_set(::pg_result* owned) noexcept : result_(owned) {}

    int size() const noexcept;
    bool empty() const noexcept { return size() == 0; }
    int columns() const noexcept;
    /// Rows an INSERT, UPDATE, DELETE, MERGE or SELECT touched; 0 for other commands.
    std::int64_t affected() const noexcept;
    row operator[](int index) const;
    row front() const { return (*this)[0]; }
    /// The first column of the only row; throws wrong_column when there is not exactly one row.
    template <class T>
    T scalar() const {
        return only().get<T>(0);
    }
    row only() const;

    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = row;
        using difference_type = int;
        using pointer = const row*;
        using reference = row;

        iterator(const ::pg_result* result, int index) noexcept : result_(result), index_(index) {}
        row operator*() const noexcept { return {result_, index_}; }
        iterator& operator++() noexcept {
            ++index_;
            return *this;
        }
        iterator operator++(int) noexcept {
            const iterator old = *this;
            ++index_;
            return old;
        }
        bool operator==(const iterator& other) const noexcept { return index_ == other.index_; }

    private:
        const ::pg_result* result_;
        int index_;
    };
    iterator begin() const noexcept { return {result_.get(), 0}; }
    iterator end() const noexcept { return {result_.get(), size()}; }

private:
    struct clear {
        void operator()(::pg_result* result) const noexcept;
    };
    std::unique_ptr<::pg_result, clear> result_;
};

using results = std::vector<result_set>;

}  // namespace insula::pg

#include "insula/pg/value_decode.hpp"
