#pragma once
#include <array>
#include <string_view>

namespace insula::pg::detail {

constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// The next word of SQL, skipping white space and comments in front of it; moves `sql` behind it.
constexpr std::string_view next_word(std::string_view& sql) noexcept {
    for (;;) {
        while (!sql.empty() && (sql.front() == ' ' || sql.front() == '\t' || sql.front() == '\n' ||
                                sql.front() == '\r' || sql.front() == '\f')) {
            sql.remove_prefix(1);
        }
        std::string_view closing;
        if (sql.starts_with("--")) {
            closing = "\n";
        } else if (sql.starts_with("/*")) {
            closing = "*/";
        } else {
            break;
        }
        const auto end = sql.find(closing);
        sql.remove_prefix(end == std::string_view::npos ? sql.size() : end + closing.size());
    }
    std::size_t length = 0;
    while (length < sql.size() &&
           ((lower(sql[length]) >= 'a' && lower(sql[length]) <= 'z') || sql[length] == '_')) {
        ++length;
    }
    const std::string_view word = sql.substr(0, length);
    sql.remove_prefix(length);
    return word;
}

constexpr bool is_word(std::string_view word, std::string_view wanted) noexcept {
    if (word.size() != wanted.size()) {
        return false;
    }
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (lower(word[i]) != wanted[i]) {
            return false;
        }
    }
    return true;
}

/// Commands that may not travel on a shared connection: they begin or end transactions (an error
/// behind BEGIN is everybody's, 25P02), change the session for all who come after, or speak a
/// protocol of their own (COPY). SET is allowed in its transaction-local forms.
constexpr bool refused_when_shared(std::string_view sql) noexcept {
    constexpr std::array<std::string_view, 14> refused{
        "begin",   "start", "commit", "end",    "rollback", "abort",   "savepoint",
        "release", "copy",  "reset",  "listen", "unlisten", "discard", "load"};
    const std::string_view first = next_word(sql);
    for (const std::string_view word : refused) {
        if (is_word(first, word)) {
            return true;
        }
    }
    const std::string_view second = next_word(sql);
    if (is_word(first, "set")) {
        return !is_word(second, "local") && !is_word(second, "constraints");
    }
    return is_word(first, "prepare") && is_word(second, "transaction");
}

}  // namespace insula::pg::detail
