#include "insula/core/crypto.hpp"

#include "insula/core/random.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

using namespace insula;

namespace {

bytes from_hex(std::string_view hex) {
    bytes data;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        data.push_back(
            static_cast<std::uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
    }
    return data;
}

std::string to_hex(bytes_view data) {
    std::string hex;
    for (const auto b : data) {
        hex.push_back("0123456789abcdef"[b >> 4]);
        hex.push_back("0123456789abcdef"[b & 15]);
    }
    return hex;
}

const bytes key(32, 0x42);

}  // namespace

TEST(sha256, agrees_with_fips_180) {
    EXPECT_EQ(to_hex(sha256("")),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(to_hex(sha256("abc")),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(hmac_sha256, agrees_with_rfc_4231) {
    struct vector {
        bytes key;
        bytes data;
        std::string_view mac;
    };
    const vector vectors[] = {
        {bytes(20, 0x0b), from_hex("4869205468657265"),
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {from_hex("4a656665"), from_hex("7768617420646f2079612077616e7420666f72206e6f7468696e673f"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {bytes(20, 0xaa), bytes(50, 0xdd),
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {from_hex("0102030405060708090a0b0c0d0e0f10111213141516171819"), bytes(50, 0xcd),
         "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {bytes(131, 0xaa),
         from_hex(
             "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d204"
             "8617368204b6579204669727374"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    for (const auto& v : vectors) {
        EXPECT_EQ(to_hex(hmac_sha256(v.key, v.data)), v.mac);
        EXPECT_EQ(to_hex(hmac_key(v.key).sign(v.data)), v.mac);
    }
}

TEST(hmac_key, signs_the_same_again_and_in_parts) {
    const hmac_key one(key);
    EXPECT_EQ(one.sign(as_bytes("hello world")), one.sign(as_bytes("hello world")));
    EXPECT_EQ(one.sign({as_bytes("hello"), as_bytes(" "), as_bytes("world")}),
              one.sign(as_bytes("hello world")));
    EXPECT_EQ(one.sign(bytes_view()), hmac_sha256(key, bytes_view()));
}

TEST(hmac_key, may_be_used_by_several_threads_at_once) {
    const hmac_key one(key);
    const auto expected = one.sign(as_bytes("x"));
    std::atomic<int> wrong{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < 2000; ++i) {
                    wrong += one.sign(as_bytes("x")) != expected ? 1 : 0;
                }
            });
        }
    }
    EXPECT_EQ(wrong, 0);
}

TEST(hkdf_sha256, agrees_with_rfc_5869) {
    // Appendix A.1, A.2, A.3.
    EXPECT_EQ(
        to_hex(hkdf_sha256(bytes(22, 0x0b), from_hex("000102030405060708090a0b0c"),
                           from_hex("f0f1f2f3f4f5f6f7f8f9"), 42)
                   .view()),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    bytes ikm, salt, info;
    for (int i = 0; i < 80; ++i) {
        ikm.push_back(static_cast<std::uint8_t>(i));
        salt.push_back(static_cast<std::uint8_t>(0x60 + i));
        info.push_back(static_cast<std::uint8_t>(0xb0 + i));
    }
    EXPECT_EQ(
        to_hex(hkdf_sha256(ikm, salt, info, 82).view()),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41"
        "c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
    EXPECT_EQ(
        to_hex(hkdf_sha256(bytes(22, 0x0b), bytes_view(), bytes_view(), 42).view()),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(hkdf_sha256, gives_each_label_its_own_key) {
    EXPECT_FALSE(hkdf_sha256(key, "cursor", 32) == hkdf_sha256(key, "refresh", 32));
    EXPECT_TRUE(hkdf_sha256(key, "cursor", 32) == hkdf_sha256(key, "cursor", 32));
    EXPECT_EQ(hkdf_sha256(key, "cursor", 8160).size(), 8160U);
}

TEST(seal, opens_to_what_was_sealed) {
    for (const std::string_view plain :
         {"", "x", "a private key of some length, more than one block"}) {
        const auto sealed = seal(key, as_bytes(plain), as_bytes("row 7"));
        EXPECT_EQ(sealed.size(), plain.size() + seal_overhead);
        const auto opened = open(key, sealed, as_bytes("row 7"));
        ASSERT_TRUE(opened);
        EXPECT_EQ(as_text(opened->view()), plain);
    }
}

TEST(seal, agrees_with_a_known_aes_256_gcm_vector) {
    // GCM specification (McGrew, Viega), test case 16, as nonce | ciphertext | tag.
    const auto k = from_hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    const auto sealed = from_hex(
        "cafebabefacedbaddecaf888"
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056"
        "828838"
        "c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b");
    const auto opened = open(k, sealed, from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
    ASSERT_TRUE(opened);
    EXPECT_EQ(
        to_hex(opened->view()),
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e24"
        "49a6b525b16aedf5aa0de657ba637b39");
}

TEST(seal, never_makes_the_same_text_twice) {
    std::set<bytes> seen;
    for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE(seen.insert(seal(key, as_bytes("same"), {})).second);
    }
}

TEST(seal, does_not_open_when_any_bit_differs) {
    const auto sealed = seal(key, as_bytes("secret"), as_bytes("row 7"));
    for (std::size_t i = 0; i < sealed.size() * 8; ++i) {
        auto changed = sealed;
        changed[i / 8] ^= static_cast<std::uint8_t>(1U << (i % 8));
        EXPECT_FALSE(open(key, changed, as_bytes("row 7"))) << "bit " << i;
    }
    EXPECT_FALSE(open(key, sealed, as_bytes("row 8")));
    EXPECT_FALSE(open(key, sealed, {}));
    EXPECT_FALSE(open(bytes(32, 0x43), sealed, as_bytes("row 7")));
    for (std::size_t size = 0; size < sealed.size(); ++size) {
        EXPECT_FALSE(open(key, bytes_view(sealed).first(size), as_bytes("row 7"))) << size;
    }
}

TEST(seal, refuses_a_key_of_another_size) {
    EXPECT_THROW((void)seal(bytes(16, 1), {}, {}), std::logic_error);
    EXPECT_THROW((void)open(bytes(33, 1), bytes(64, 1), {}), std::logic_error);
}

TEST(secret, is_wiped_when_it_is_let_go) {
    secret_string text("hunter2 hunter2");
    const auto view = text.view();
    const secret_string moved = std::move(text);
    EXPECT_EQ(moved.view().data(), view.data()) << "moving must not leave a copy behind";
    EXPECT_TRUE(text.empty());  // NOLINT(bugprone-use-after-move): that is the point
    static_assert(!std::is_copy_constructible_v<secret_string>);
    static_assert(!std::is_copy_constructible_v<secret_bytes>);
    char buffer[] = "secret";
    wipe(buffer, 6);
    EXPECT_EQ(std::string_view(buffer, 6), std::string_view("\0\0\0\0\0\0", 6));
}

TEST(secret, compares_whole_contents) {
    EXPECT_TRUE(secret_string("abc") == secret_string("abc"));
    EXPECT_FALSE(secret_string("abc") == secret_string("abd"));
    EXPECT_FALSE(secret_string("abc") == secret_string("ab"));
    EXPECT_TRUE(secret_string() == secret_string(""));
    EXPECT_TRUE(secret_string("abc").clone() == secret_string("abc"));
}

TEST(random, tokens_have_their_length_and_do_not_repeat) {
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const auto token = random_token_256();
        EXPECT_EQ(token.size(), 43U);
        EXPECT_TRUE(seen.emplace(token.view()).second);
    }
    EXPECT_EQ(random_token_128().size(), 22U);
    EXPECT_NE(random_u64(), random_u64());
    bytes large((2U << 20) + 3, 0);
    random_bytes(large);
    EXPECT_NE(sha256(bytes_view(large).last(64)), sha256(bytes(64, 0)));
    random_bytes({});
}
