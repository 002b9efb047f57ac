#pragma once
// A pull parser for the small JSON objects inside tokens: RFC 8259 without what a token of ours
// never has. ASCII only, no escapes in strings, no duplicate members, nesting up to 4. It neither
// copies nor allocates.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace insula::token {

/// Every read is allowed up to this many bytes behind the text: the buffer must be longer than the
/// text.
inline constexpr std::size_t json_padding = 16;

class strict_json {
public:
    /// `text` is followed by json_padding readable bytes of any value.
    explicit strict_json(std::string_view text) noexcept
        : at_(text.data()), end_(text.data() + text.size()) {}

    /// The names seen in one object. Bounded: an object with more of them is refused.
    class names {
    public:
        /// False for a name seen before, or when full.
        bool add(std::string_view name) noexcept {
            for (std::size_t i = 0; i < count_; ++i) {
                if (std::string_view(seen_[i].data, seen_[i].size) == name) {
                    return false;
                }
            }
            if (count_ == seen_.size()) {
                return false;
            }
            seen_[count_++] = {name.data(), name.size()};
            return true;
        }

    private:
        // Not string_views: clearing 24 of them would cost more than reading a claim.
        struct entry {
            const char* data;
            std::size_t size;
        };
        std::array<entry, 24> seen_;
        std::size_t count_ = 0;
    };

    enum class step : std::uint8_t { member, end, bad };

    bool open_object() noexcept {
        skip_space();
        return take('{');
    }

    /// The next member's name, its colon eaten; `end` after the closing brace. `first` starts as
    /// true for each object. Duplicates are the caller's to find: it knows names that need no list.
    [[gnu::always_inline]] step next(std::string_view& name, bool& first) noexcept {
        skip_space();
        if (take('}')) {
            // A comma before the brace was refused below, where a name must follow it.
            return step::end;
        }
        if (!first) {
            if (!take(',')) {
                return step::bad;
            }
            skip_space();
        }
        first = false;
        if (!string_here(name)) {
            return step::bad;
        }
        skip_space();
        return take(':') ? step::member : step::bad;
    }

    [[gnu::always_inline]] bool string(std::string_view& out) noexcept {
        skip_space();
        return string_here(out);
    }

    /// 0 to 2^53 - 1: digits without sign, fraction, exponent or leading zero.
    [[gnu::always_inline]] bool integer(std::int64_t& out) noexcept {
        skip_space();
        const char* const begin = at_;
        std::int64_t value = 0;
        while (at_ != end_ && *at_ >= '0' && *at_ <= '9') {
            if (at_ - begin == 16) {
                return false;
            }
            value = value * 10 + (*at_++ - '0');
        }
        const auto digits = at_ - begin;
        if (digits == 0 || (digits > 1 && *begin == '0') || value > integer_max) {
            return false;
        }
        out = value;
        return at_ != end_ && (*at_ == ',' || *at_ == '}' || *at_ == ']' || is_space(*at_));
    }

    /// Any value, checked as strictly as the others.
    bool skip() noexcept { return skip_value(1); }

    /// True when only white space is left.
    bool finished() noexcept {
        skip_space();
        return at_ == end_;
    }

    static constexpr std::int64_t integer_max = (std::int64_t{1} << 53) - 1;

private:
    static constexpr int depth_max = 4;

    static bool is_space(char c) noexcept {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
    }
    void skip_space() noexcept {
        // Nearly always there is none; every character a value begins with is above ' '.
        while (at_ != end_ && *at_ <= ' ' && is_space(*at_)) {
            ++at_;
        }
    }
    bool take(char c) noexcept {
        if (at_ == end_ || *at_ != c) {
            return false;
        }
        ++at_;
        return true;
    }

    [[gnu::always_inline]] bool string_here(std::string_view& out) noexcept {
        if (!take('"')) {
            return false;
        }
        const char* const close = find_special(at_);
        if (close >= end_ || *close != '"') {
            return false;  // a control character, a backslash, not ASCII, or no end
        }
        out = {at_, static_cast<std::size_t>(close - at_)};
        at_ = close + 1;
        return true;
    }

    /// The first quote, backslash, control character or byte above 127; at or behind end_ without
    /// one.
    [[gnu::always_inline]] const char* find_special(const char* from) const noexcept {
#if defined(__SSE2__)
        const auto quote = _mm_set1_epi8('"');
        const auto backslash = _mm_set1_epi8('\\');
        const auto space = _mm_set1_epi8(' ');
        for (; from < end_; from += 16) {
            const auto chunk = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
            // Signed: bytes above 127 are below ' ' too.
            const auto special = _mm_or_si128(
                _mm_cmplt_epi8(chunk, space),
                _mm_or_si128(_mm_cmpeq_epi8(chunk, quote), _mm_cmpeq_epi8(chunk, backslash)));
            const auto mask = static_cast<unsigned>(_mm_movemask_epi8(special));
            if (mask != 0) {
                return from + std::countr_zero(mask);
            }
        }
        return end_;
#else
        while (from < end_ && *from != '"' && *from != '\\' && *from >= ' ' &&
               static_cast<unsigned char>(*from) < 0x80) {
            ++from;
        }
        return from;
#endif
    }

    bool skip_value(int depth) noexcept;
    bool skip_number() noexcept;
    bool skip_word(std::string_view word) noexcept;

    const char* at_;
    const char* end_;
};

}  // namespace insula::token
