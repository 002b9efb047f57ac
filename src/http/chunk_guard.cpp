#include "http/characters.hpp"
#include "http/guard.hpp"

#include <algorithm>

namespace insula::http {

chunk_guard::progress chunk_guard::feed(std::string_view data) noexcept {
    std::size_t at = 0;
    std::size_t whole = 0;
    while (at < data.size() && state_ != state::done) {
        if (state_ == state::data) {
            const auto n = std::min<std::uint64_t>(size_, data.size() - at);
            size_ -= n;
            at += static_cast<std::size_t>(n);
            whole = at;
            if (size_ == 0)
                state_ = state::data_cr;
            continue;
        }
        const auto why = step(static_cast<unsigned char>(data[at]));
        if (why != refusal::none)
            return {why, at, whole, false};
        ++at;
        if (state_ == state::data || state_ == state::done)
            whole = at;
    }
    return {refusal::none, at, whole, state_ == state::done};
}

refusal chunk_guard::count_line_octet() noexcept {
    ++overhead_;
    if (++line_ > bounds_.line_bytes_max)
        return refusal::malformed;
    return overhead_ > bounds_.overhead_bytes_max + body_ / 16 ? refusal::malformed : refusal::none;
}

refusal chunk_guard::end_of_line() noexcept {
    line_ = digits_ = 0;
    if (size_ == 0) {
        state_ = state::last_cr;
        return refusal::none;
    }
    state_ = state::data;
    body_ += size_;
    return body_ > bounds_.body_bytes_max ? refusal::body_too_large : refusal::none;
}

refusal chunk_guard::step(unsigned char c) noexcept {
    if (const auto why = count_line_octet(); why != refusal::none)
        return why;
    switch (state_) {
        case state::size_first:
        case state::size: {
            const int value = hex(c);
            if (value >= 0) {
                constexpr unsigned digits_max = 15;  // leading zeros count too; 16 could overflow
                if (++digits_ > digits_max)
                    return refusal::malformed;
                size_ = size_ * 16 + static_cast<unsigned>(value);
                state_ = state::size;
                return refusal::none;
            }
            return state_ == state::size ? extension(c) : refusal::malformed;
        }
        case state::line_feed:
            return c == '\n' ? end_of_line() : refusal::malformed;
        case state::data_cr:
        case state::last_cr:
            // After the last chunk anything but the empty line would be a trailer.
            if (c != '\r')
                return refusal::malformed;
            state_ = state_ == state::data_cr ? state::data_lf : state::last_lf;
            return refusal::none;
        case state::data_lf:
        case state::last_lf:
            if (c != '\n')
                return refusal::malformed;
            line_ = 0;
            state_ = state_ == state::data_lf ? state::size_first : state::done;
            return refusal::none;
        case state::data:
        case state::done:
            return refusal::malformed;
        default:
            return extension(c);
    }
}

/// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 7.1.1;
/// white space is taken only after a semicolon or around "=", never between the size and the line's
/// end.
refusal chunk_guard::extension(unsigned char c) noexcept {
    const bool blank = c == ' ' || c == '\t';
    const bool token = token_table[c];
    const auto go = [this](state next) {
        state_ = next;
        return refusal::none;
    };
    switch (state_) {
        case state::ext_quoted:
            if (c == '"')
                return go(state::ext_after_value);
            if (c == '\\')
                return go(state::ext_escape);
            return value_table[c] ? refusal::none : refusal::malformed;
        case state::ext_escape:
            return value_table[c] ? go(state::ext_quoted) : refusal::malformed;
        case state::ext_before_name:
            if (blank)
                return refusal::none;
            return token ? go(state::ext_name) : refusal::malformed;
        case state::ext_before_value:
            if (blank)
                return refusal::none;
            if (c == '"')
                return go(state::ext_quoted);
            return token ? go(state::ext_token) : refusal::malformed;
        case state::ext_after_name:
            if (blank)
                return refusal::none;
            return c == '=' ? go(state::ext_before_value) : refusal::malformed;
        case state::ext_name:
            if (token)
                return refusal::none;
            if (c == '=')
                return go(state::ext_before_value);
            if (blank)
                return go(state::ext_after_name);
            break;
        case state::ext_token:
            if (token)
                return refusal::none;
            break;
        default:
            break;  // after the size or after a value
    }
    if (c == ';')
        return go(state::ext_before_name);
    return c == '\r' ? go(state::line_feed) : refusal::malformed;
}

}  // namespace insula::http
