#pragma once
// Memory that is wiped when it is let go: passwords, keys, tokens.

#include "insula/core/bytes.hpp"

#include <cstddef>
#include <memory>
#include <utility>

namespace insula {

/// OPENSSL_cleanse: not removed by the optimiser.
void wipe(void* data, std::size_t size) noexcept;

/// Comparison whose time depends on the sizes only.
[[nodiscard]] bool equal_constant_time(bytes_view a, bytes_view b) noexcept;

namespace detail {

/// Move-only heap memory of fixed size, wiped before it is freed. Never std::string: its
/// short-string buffer would stay behind in whatever it was moved out of.
template <class Char>
class secret_buffer {
public:
    secret_buffer() = default;
    explicit secret_buffer(std::size_t size)
        : data_(size ? std::make_unique<Char[]>(size) : nullptr), size_(size) {}
    secret_buffer(const Char* data, std::size_t size) : secret_buffer(size) {
        for (std::size_t i = 0; i < size; ++i) {
            data_[i] = data[i];
        }
    }
    secret_buffer(secret_buffer&& other) noexcept
        : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
    secret_buffer& operator=(secret_buffer&& other) noexcept {
        if (this != &other) {
            clear();
            data_ = std::move(other.data_);
            size_ = std::exchange(other.size_, 0);
        }
        return *this;
    }
    ~secret_buffer() { clear(); }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] Char* data() noexcept { return data_.get(); }
    [[nodiscard]] const Char* data() const noexcept { return data_.get(); }
    /// Wipes and frees.
    void clear() noexcept {
        if (data_) {
            wipe(data_.get(), size_ * sizeof(Char));
            data_.reset();
        }
        size_ = 0;
    }

private:
    std::unique_ptr<Char[]> data_;
    std::size_t size_ = 0;
};

}  // namespace detail

/// Secret bytes (a key). Has no operator<<, no comparison but the constant-time one.
class secret_bytes {
public:
    secret_bytes() = default;
    explicit secret_bytes(std::size_t size) : buffer_(size) {}
    explicit secret_bytes(bytes_view data) : buffer_(data.data(), data.size()) {}

    [[nodiscard]] bytes_view view() const noexcept { return {buffer_.data(), buffer_.size()}; }
    [[nodiscard]] std::span<std::uint8_t> writable() noexcept {
        return {buffer_.data(), buffer_.size()};
    }
    [[nodiscard]] std::size_t size() const noexcept { return buffer_.size(); }
    [[nodiscard]] bool empty() const noexcept { return buffer_.empty(); }
    /// A second copy, on purpose and visible.
    [[nodiscard]] secret_bytes clone() const { return secret_bytes(view()); }
    void clear() noexcept { buffer_.clear(); }

    friend bool operator==(const secret_bytes& a, const secret_bytes& b) noexcept {
        return equal_constant_time(a.view(), b.view());
    }

private:
    detail::secret_buffer<std::uint8_t> buffer_;
};

/// Secret characters (a password, a token). Not terminated by NUL.
class secret_string {
public:
    secret_string() = default;
    explicit secret_string(std::string_view text) : buffer_(text.data(), text.size()) {}

    [[nodiscard]] std::string_view view() const noexcept {
        return {buffer_.data(), buffer_.size()};
    }
    [[nodiscard]] bytes_view bytes() const noexcept { return as_bytes(view()); }
    [[nodiscard]] std::size_t size() const noexcept { return buffer_.size(); }
    [[nodiscard]] bool empty() const noexcept { return buffer_.empty(); }
    [[nodiscard]] secret_string clone() const { return secret_string(view()); }
    void clear() noexcept { buffer_.clear(); }

    friend bool operator==(const secret_string& a, const secret_string& b) noexcept {
        return equal_constant_time(a.bytes(), b.bytes());
    }

private:
    detail::secret_buffer<char> buffer_;
};

}  // namespace insula
