#include "insula/identity/password.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/random.hpp"
#include "insula/core/secret.hpp"
#include "insula/core/text.hpp"

#include <fmt/format.h>
#include <sodium.h>
#include <zxcvbn.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <stdexcept>
#include <vector>

namespace insula::identity {

namespace {

// zxcvbn's score 3 begins at 10^8 guesses (Wheeler, USENIX Security 2016); libzxcvbn answers in
// bits.
constexpr double bits_of_score_3 = 26.575424759098897;

// A local part of one or two characters is in nearly every password.
constexpr std::size_t local_part_checked_min = 3;

// libzxcvbn's work grows faster than the length; what is strong in so many bytes is strong with
// more.
constexpr std::size_t strength_bytes_max = 128;

/// Lower-case words of `text` of three characters and more, for the user dictionary.
void add_words(std::vector<std::string>& into, std::string_view text) {
    const auto folded = ascii_lower(text);
    std::size_t begin = 0;
    while (begin < folded.size()) {
        const auto end = std::min(folded.find_first_of(" \t.,@-_+", begin), folded.size());
        if (end - begin >= 3) {
            into.push_back(folded.substr(begin, end - begin));
        }
        begin = end + 1;
    }
}

bool strong(std::string_view password, const std::vector<std::string>& words) {
    std::vector<const char*> dictionary;
    dictionary.reserve(words.size() + 1);
    for (const auto& word : words) {
        dictionary.push_back(word.c_str());
    }
    dictionary.push_back(nullptr);
    // Terminated, and wiped below: libzxcvbn wants a C string.
    std::array<char, strength_bytes_max + 1> text{};
    const auto part = utf8_prefix(password, strength_bytes_max);
    std::memcpy(text.data(), part.data(), part.size());
    const double bits = ZxcvbnMatch(text.data(), dictionary.data(), nullptr);
    wipe(text.data(), text.size());
    return bits >= bits_of_score_3;
}

bool contains_local_part(std::string_view password, std::string_view email) {
    auto folded_email = nfkc_casefold(email);
    auto folded_password = nfkc_casefold(password);
    if (!folded_email || !folded_password) {
        return false;
    }
    const auto local = folded_email->substr(0, folded_email->rfind('@'));
    const bool found = count_code_points(local) >= local_part_checked_min &&
                       folded_password->find(local) != std::string::npos;
    wipe(folded_password->data(), folded_password->size());
    return found;
}

}  // namespace

bool password_length_allowed(std::string_view password) noexcept {
    if (password.size() > password_bytes_max || !valid_utf8(password)) {
        return false;
    }
    const auto characters = count_code_points(password);
    return characters >= password_characters_min && characters <= password_characters_max;
}

std::optional<value_problem> check_new_password(std::string_view password, std::string_view email,
                                                std::string_view full_name,
                                                std::string_view tenant_name) {
    if (password.size() > password_bytes_max) {
        return value_problem{"too_long", "A password has at most 128 characters."};
    }
    if (!valid_utf8(password)) {
        return value_problem{"invalid_utf8", "The text is not valid UTF-8."};
    }
    const auto characters = count_code_points(password);
    if (characters < password_characters_min) {
        return value_problem{"too_short", "A password has at least 10 characters."};
    }
    if (characters > password_characters_max) {
        return value_problem{"too_long", "A password has at most 128 characters."};
    }
    if (contains_local_part(password, email)) {
        return value_problem{"contains_email", "A password must not contain your e-mail name."};
    }
    std::vector<std::string> words;
    add_words(words, email);
    add_words(words, full_name);
    add_words(words, tenant_name);
    if (!strong(password, words)) {
        return value_problem{
            "too_weak", "This password is easy to guess. Use more words, or less common ones."};
    }
    return std::nullopt;
}

namespace {

/// An empty view may hold a null pointer, which libsodium's declarations forbid.
const char* characters(std::string_view password) {
    return password.empty() ? "" : password.data();
}

std::string without_padding(std::string text) {
    text.erase(text.find_last_not_of('=') + 1);
    return text;
}

/// What a password's hash looks like, of random bytes: no password has it, and checking one against
/// it is all the work that a check is. Nothing is hashed for it, which would be 20 ms of the start.
std::string dummy_hash(const password_options& costs) {
    std::array<std::uint8_t, crypto_pwhash_argon2id_SALTBYTES> salt{};
    std::array<std::uint8_t, 32> output{};  // STR_HASHBYTES in libsodium's pwhash_argon2id.c
    random_bytes(salt);
    random_bytes(output);
    return fmt::format("$argon2id$v=19$m={},t={},p=1${}${}", costs.memory_bytes / 1024,
                       costs.passes, without_padding(base64_encode(salt)),
                       without_padding(base64_encode(output)));
}

}  // namespace

password_hasher::password_hasher(password_options options) : options_(options) {
    // Idempotent and thread-safe; 1 means that it was done before.
    if (sodium_init() < 0) {
        throw std::runtime_error("libsodium does not start: no source of randomness");
    }
    if (options_.passes < crypto_pwhash_opslimit_min() ||
        options_.memory_bytes < crypto_pwhash_memlimit_min()) {
        throw std::invalid_argument("password hashing needs at least 1 pass and 8 KiB of memory");
    }
    dummy_ = dummy_hash(options_);
}

std::string password_hasher::hash(std::string_view password) const {
    std::array<char, crypto_pwhash_STRBYTES> out{};
    if (crypto_pwhash_str_alg(out.data(), characters(password), password.size(), options_.passes,
                              options_.memory_bytes, crypto_pwhash_ALG_ARGON2ID13) != 0) {
        throw std::bad_alloc();
    }
    return out.data();
}

bool password_hasher::verify(std::string_view hash, std::string_view password) const {
    if (hash.size() >= crypto_pwhash_STRBYTES || password.size() > password_bytes_max) {
        return false;
    }
    // libsodium reads up to a NUL, which a string_view need not have.
    std::array<char, crypto_pwhash_STRBYTES> text{};
    std::copy(hash.begin(), hash.end(), text.begin());
    return crypto_pwhash_str_verify(text.data(), characters(password), password.size()) == 0;
}

bool password_hasher::verify_dummy(std::string_view password) const {
    // The result is dropped on purpose: nobody has this password.
    (void)verify(dummy_, password);
    return false;
}

bool password_hasher::needs_rehash(std::string_view hash) const {
    if (hash.size() >= crypto_pwhash_STRBYTES) {
        return true;
    }
    std::array<char, crypto_pwhash_STRBYTES> text{};
    std::copy(hash.begin(), hash.end(), text.begin());
    return crypto_pwhash_str_needs_rehash(text.data(), options_.passes, options_.memory_bytes) != 0;
}

}  // namespace insula::identity
