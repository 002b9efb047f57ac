#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace insula::token {

/// SipHash with C compression and D finalisation rounds (Aumasson and Bernstein, 2012). Keyed: who
/// does not know the key cannot make texts collide.
template <int C, int D>
class siphash {
public:
    siphash(std::uint64_t k0, std::uint64_t k1) noexcept : k0_(k0), k1_(k1) {}

    std::uint64_t operator()(const void* data, std::size_t size) const noexcept {
        state s{k0_ ^ 0x736f6d6570736575ULL, k1_ ^ 0x646f72616e646f6dULL,
                k0_ ^ 0x6c7967656e657261ULL, k1_ ^ 0x7465646279746573ULL};
        const auto* at = static_cast<const unsigned char*>(data);
        for (std::size_t words = size / 8; words != 0; --words, at += 8) {
            s.compress(load(at, 8));
        }
        s.compress(load(at, size % 8) | static_cast<std::uint64_t>(size) << 56);
        s.v2 ^= 0xff;
        for (int i = 0; i < D; ++i) {
            s.round();
        }
        return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    }

private:
    struct state {
        std::uint64_t v0, v1, v2, v3;

        void round() noexcept {
            v0 += v1;
            v1 = std::rotl(v1, 13) ^ v0;
            v0 = std::rotl(v0, 32);
            v2 += v3;
            v3 = std::rotl(v3, 16) ^ v2;
            v0 += v3;
            v3 = std::rotl(v3, 21) ^ v0;
            v2 += v1;
            v1 = std::rotl(v1, 17) ^ v2;
            v2 = std::rotl(v2, 32);
        }
        void compress(std::uint64_t word) noexcept {
            v3 ^= word;
            for (int i = 0; i < C; ++i) {
                round();
            }
            v0 ^= word;
        }
    };

    /// Little-endian, missing bytes zero.
    static std::uint64_t load(const unsigned char* from, std::size_t size) noexcept {
        std::uint64_t word = 0;
        if constexpr (std::endian::native == std::endian::little) {
            std::memcpy(&word, from, size);
        } else {
            for (std::size_t i = 0; i < size; ++i) {
                word |= static_cast<std::uint64_t>(from[i]) << (8 * i);
            }
        }
        return word;
    }

    std::uint64_t k0_;
    std::uint64_t k1_;
};

}  // namespace insula::token
