#include "token/strict_json.hpp"

namespace insula::token {

bool strict_json::skip_word(std::string_view word) noexcept {
    if (static_cast<std::size_t>(end_ - at_) < word.size() ||
        std::memcmp(at_, word.data(), word.size()) != 0) {
        return false;
    }
    at_ += word.size();
    return true;
}

bool strict_json::skip_number() noexcept {
    const auto digits = [this] {
        const char* const begin = at_;
        while (at_ != end_ && *at_ >= '0' && *at_ <= '9') {
            ++at_;
        }
        return at_ - begin;
    };
    take('-');
    const char* const begin = at_;
    const auto whole = digits();
    if (whole == 0 || (whole > 1 && *begin == '0')) {
        return false;
    }
    if (take('.') && digits() == 0) {
        return false;
    }
    if (take('e') || take('E')) {
        if (!take('+')) {
            take('-');
        }
        return digits() != 0;
    }
    return true;
}

bool strict_json::skip_value(int depth) noexcept {
    skip_space();
    if (at_ == end_ || depth > depth_max) {
        return false;
    }
    std::string_view ignored;
    switch (*at_) {
        case '"':
            return string_here(ignored);
        case 't':
            return skip_word("true");
        case 'f':
            return skip_word("false");
        case 'n':
            return skip_word("null");
        case '{': {
            ++at_;
            names seen;
            bool first = true;
            step got = step::bad;
            while ((got = next(ignored, first)) == step::member) {
                if (!seen.add(ignored) || !skip_value(depth + 1)) {
                    return false;
                }
            }
            return got == step::end;
        }
        case '[': {
            ++at_;
            skip_space();
            if (take(']')) {
                return true;
            }
            do {
                if (!skip_value(depth + 1)) {
                    return false;
                }
                skip_space();
            } while (take(','));
            return take(']');
        }
        default:
            return skip_number();
    }
}

}  // namespace insula::token
