#include "insula/pg/value.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <charconv>
#include <limits>

namespace insula::pg {
namespace detail {
namespace {

// PostgreSQL counts microseconds from 2000-01-01, we from 1970-01-01.
constexpr std::int64_t postgres_epoch_us = 946'684'800LL * 1'000'000;

}  // namespace

void put_be(std::vector<char>& out, std::uint64_t value, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
        out.push_back(static_cast<char>(static_cast<std::uint8_t>(value >> shift)));
    }
}

std::uint64_t get_be(const char* data, int bytes) noexcept {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
        value = value << 8 | static_cast<std::uint8_t>(data[i]);
    }
    return value;
}

void codec<timestamp>::encode(timestamp v, std::vector<char>& out) {
    // The ends of our range are PostgreSQL's -infinity and infinity, which share their
    // representation.
    std::int64_t us = v.time_since_epoch().count();
    if (v != timestamp::max() && v != timestamp::min()) {
        us -= postgres_epoch_us;
    }
    put_be(out, static_cast<std::uint64_t>(us), 8);
}

void codec<std::chrono::microseconds>::encode(std::chrono::microseconds v, std::vector<char>& out) {
    put_be(out, static_cast<std::uint64_t>(v.count()), 8);
    put_be(out, 0, 4);  // days
    put_be(out, 0, 4);  // months
}

void put_array_header(std::vector<char>& out, oid element, std::size_t count, bool has_null) {
    put_be(out, count == 0 ? 0 : 1, 4);  // dimensions
    put_be(out, has_null ? 1 : 0, 4);
    put_be(out, element, 4);
    if (count != 0) {
        put_be(out, count, 4);
        put_be(out, 1, 4);  // lower bound
    }
}

std::size_t begin_sized(std::vector<char>& out) {
    put_be(out, 0xffffffff, 4);
    return out.size();
}

void end_sized(std::vector<char>& out, std::size_t mark) {
    const auto length = static_cast<std::uint32_t>(out.size() - mark);
    for (std::size_t i = 0; i < 4; ++i) {
        out[mark - 4 + i] = static_cast<char>(static_cast<std::uint8_t>(length >> (24 - 8 * i)));
    }
}

}  // namespace detail

void param_list::close_slot(std::size_t before, oid type) {
    // A message of PostgreSQL's protocol ends at 1 GiB; far below that something is wrong already.
    if (bytes_.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
        throw std::length_error("parameters of a unit exceed 2 GiB");
    }
    slots_.push_back({static_cast<std::uint32_t>(before),
                      static_cast<std::int32_t>(bytes_.size() - before), type});
}

void param_list::append(const param_list& other) {
    const auto before = static_cast<std::uint32_t>(bytes_.size());
    bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end());
    for (slot s : other.slots_) {
        s.offset += before;
        slots_.push_back(s);
    }
}

cell row::at(int column) const {
    if (column < 0 || column >= PQnfields(result_)) {
        throw wrong_column(fmt::format("column {} of {}", column, PQnfields(result_)));
    }
    cell c;
    c.type = PQftype(result_, column);
    c.binary = PQfformat(result_, column) == 1;
    c.null = PQgetisnull(result_, index_, column) != 0;
    c.data = PQgetvalue(result_, index_, column);
    c.length = PQgetlength(result_, index_, column);
    return c;
}

int row::index_of(std::string_view column) const {
    for (int i = 0; i < PQnfields(result_); ++i) {
        if (column == PQfname(result_, i)) {
            return i;
        }
    }
    throw wrong_column(fmt::format("no column {}", column));
}

void result_set::clear::operator()(::pg_result* result) const noexcept {
    PQclear(result);
}

int result_set::size() const noexcept {
    return result_ ? PQntuples(result_.get()) : 0;
}

int result_set::columns() const noexcept {
    return result_ ? PQnfields(result_.get()) : 0;
}

std::int64_t result_set::affected() const noexcept {
    if (!result_) {
        return 0;
    }
    const std::string_view text = PQcmdTuples(result_.get());
    std::int64_t count = 0;
    std::from_chars(text.data(), text.data() + text.size(), count);
    return count;
}

row result_set::operator[](int index) const {
    if (index < 0 || index >= size()) {
        throw wrong_column(fmt::format("row {} of {}", index, size()));
    }
    return {result_.get(), index};
}

row result_set::only() const {
    if (size() != 1) {
        throw wrong_column(fmt::format("{} rows where one was promised", size()));
    }
    return (*this)[0];
}

}  // namespace insula::pg
