// G11: signatures that are wrong in the ways their mathematics allows. Those of a key that is ours,
// over a text that is right: only the signature is bent.
#include "support.hpp"

#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include <array>

namespace insula::token::test {

namespace {

std::string text_of(const key& k) {
    return encode(header_of(k)) + "." + encode(payload_of(sample_claims()));
}

bytes signature_of(const key& k, std::string_view text) {
    bytes raw(k.inner().signature_bytes);
    row_of(k.alg()).make_sign(k.inner())->sign(text, raw);
    return raw;
}

/// A verifier of one key, asked about a text with any signature.
class judge {
public:
    explicit judge(const key& k) : check_(us, set_of({{k, key_state::active}})) {}
    std::string operator()(std::string_view text, const bytes& signature) {
        return verdict(check_, std::string(text) + "." + base64url_encode(signature));
    }

private:
    verifier check_;
};

bignum_ptr number(bytes_view big_endian) {
    return bignum_ptr(BN_bin2bn(big_endian.data(), static_cast<int>(big_endian.size()), nullptr));
}

bytes reversed(bytes_view octets) {
    return {octets.rbegin(), octets.rend()};
}

bytes from_hex(std::string_view text) {
    bytes octets;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        octets.push_back(
            static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
    }
    return octets;
}

// The order of Ed25519's group (RFC 8032 section 5.1), big-endian.
const bytes edwards_order =
    from_hex("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");

// The points of small order, and the spellings of them that are not canonical: little-endian y and
// the sign of x.
const std::string_view small_points[] = {
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
};

/// What RSASSA-PKCS1-v1_5 signs, exponentiated without any padding of OpenSSL's.
bytes raw_rsa(const key& k, const bytes& block) {
    const pkey_ctx_ptr ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, k.inner().pair.get(), nullptr));
    bytes out(block.size());
    std::size_t size = out.size();
    EXPECT_EQ(EVP_PKEY_sign_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(ctx.get(), RSA_NO_PADDING), 1);
    EXPECT_EQ(EVP_PKEY_sign(ctx.get(), out.data(), &size, block.data(), block.size()), 1);
    return out;
}

bytes sha256_of(std::string_view text) {
    bytes digest(32);
    EXPECT_EQ(EVP_Digest(text.data(), text.size(), digest.data(), nullptr, sha256_md(), nullptr),
              1);
    return digest;
}

bytes joined(std::initializer_list<bytes> parts) {
    bytes all;
    for (const auto& part : parts) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

// DigestInfo of SHA-256 up to the digest (RFC 8017 section 9.2).
const bytes digest_info = from_hex("3031300d060960864801650304020105000420");

/// 00 01, `fill` up to 256 octets, 00, then `end`.
bytes block_with(const bytes& end, std::uint8_t kind = 1, std::uint8_t fill = 0xff) {
    bytes block{0, kind};
    block.resize(256 - end.size() - 1, fill);
    block.push_back(0);
    block.insert(block.end(), end.begin(), end.end());
    return block;
}

}  // namespace

TEST(ecdsa_signatures, G11_degenerate_values_are_refused) {
    const auto k = key::generate(algorithm::es256);
    verifier check(us, set_of({{k, key_state::active}}));
    const auto text = encode(header_of(k)) + "." + encode(payload_of(sample_claims())) + ".";
    const auto order = base64url_decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE").value();
    for (const auto& half : {bytes(32, 0x00), bytes(32, 0xff), order}) {
        for (const auto& other : {bytes(32, 0x00), bytes(32, 0x01), bytes(32, 0xff), order}) {
            auto raw = half;  // CVE-2022-21449 accepted r = s = 0
            raw.insert(raw.end(), other.begin(), other.end());
            EXPECT_EQ(verdict(check, text + base64url_encode(raw)), "bad_signature");
            raw = other;
            raw.insert(raw.end(), half.begin(), half.end());
            EXPECT_EQ(verdict(check, text + base64url_encode(raw)), "bad_signature");
        }
    }
}

// r and s with leading zero octets occur once in 128 signatures; the DER form must drop exactly
// those.
TEST(ecdsa_signatures, short_r_and_s_round_trip) {
    const auto k = key::generate(algorithm::es256);
    const auto check = es256_row.make_check(k.inner());
    const auto sign = es256_row.make_sign(k.inner());
    std::array<std::uint8_t, 64> raw{};
    int with_zero = 0;
    for (int i = 0; i < 4000 && with_zero < 8; ++i) {
        const auto text = std::to_string(i);
        sign->sign(text, raw);
        ASSERT_TRUE(check->check(text, raw)) << i;
        with_zero += raw[0] == 0 || raw[32] == 0 ? 1 : 0;
    }
    EXPECT_GE(with_zero, 8);
}

// ECDSA knows two signatures for each: (r, s) and (r, order - s). Nothing here takes a signature
// for a name of a token, so both may pass; what must not is a second spelling of one of them.
TEST(ecdsa_signatures, G11_numbers_not_below_the_order_are_refused) {
    const auto k = sample_key(algorithm::es256);
    judge by(k);
    const auto order = base64url_decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE").value();
    const auto n = number(order);
    const auto text = text_of(k);
    const auto good = signature_of(k, text);
    ASSERT_EQ(by(text, good), "good");
    for (const std::size_t half : {0U, 32U}) {
        const auto value = number(bytes_view(good).subspan(half, 32));
        BN_add(value.get(), value.get(), n.get());
        if (BN_num_bytes(value.get()) <= 32) {  // not for most, which leave no room
            auto bent = good;
            BN_bn2binpad(value.get(), bent.data() + half, 32);
            EXPECT_EQ(by(text, bent), "bad_signature");
        }
    }
}

// RFC 8032 leaves it to the verifier whether S + L, a second spelling of every signature, passes.
TEST(eddsa_signatures, G11_S_not_below_the_order_is_refused) {
    const auto k = sample_key(algorithm::eddsa);
    judge by(k);
    const auto text = text_of(k);
    const auto good = signature_of(k, text);
    ASSERT_EQ(by(text, good), "good");
    const auto value = number(reversed(bytes_view(good).last(32)));
    const auto order = number(edwards_order);
    for (int times = 1; times <= 14; ++times) {
        BN_add(value.get(), value.get(), order.get());
        bytes big(32);
        ASSERT_EQ(BN_bn2binpad(value.get(), big.data(), 32), 32);
        auto bent = good;
        std::copy(big.rbegin(), big.rend(), bent.begin() + 32);
        EXPECT_EQ(by(text, bent), "bad_signature") << times;
    }
}

TEST(eddsa_signatures, G11_small_points_and_odd_spellings_of_R_are_refused) {
    const auto k = sample_key(algorithm::eddsa);
    judge by(k);
    const auto text = text_of(k);
    const auto good = signature_of(k, text);
    const bytes zero(32, 0);
    const auto order = reversed(edwards_order);
    for (const auto& point : small_points) {
        const auto r = from_hex(point);
        for (const auto& s : {zero, order, bytes(good.begin() + 32, good.end())}) {
            EXPECT_EQ(by(text, joined({r, s})), "bad_signature") << point;
        }
    }
    // The good R with its sign turned, and with the highest bits of y that no point has.
    for (const unsigned bit : {0x80U, 0x40U}) {
        auto bent = good;
        bent[31] = static_cast<std::uint8_t>(bent[31] ^ bit);
        EXPECT_EQ(by(text, bent), "bad_signature");
    }
}

// Whoever could make us publish a point of small order could sign for it without a secret. RFC 5958
// lets a private key carry a public half: it must be the one that belongs to it.
TEST(eddsa_keys, G11_a_public_half_that_came_along_is_not_believed) {
    const auto k = sample_key(algorithm::eddsa);
    const auto material = k.export_private();
    ASSERT_EQ(material.size(), 48U);
    const auto seed = material.view().last(32);
    for (const auto& point : small_points) {
        bytes with_public = from_hex("3051020101300506032b657004220420");
        with_public.insert(with_public.end(), seed.begin(), seed.end());
        for (const auto& part : {from_hex("812100"), from_hex(point)}) {
            with_public.insert(with_public.end(), part.begin(), part.end());
        }
        const auto got = eddsa_row.import_private(with_public);
        if (got) {
            EXPECT_EQ(eddsa_row.required_jwk_members(*got),
                      eddsa_row.required_jwk_members(k.inner()));
        }
    }
}

TEST(rsa_signatures, G11_other_spellings_of_the_number_are_refused) {
    const auto k = sample_key(algorithm::rs256);
    judge by(k);
    BIGNUM* raw_modulus = nullptr;
    ASSERT_EQ(EVP_PKEY_get_bn_param(k.inner().pair.get(), OSSL_PKEY_PARAM_RSA_N, &raw_modulus), 1);
    const bignum_ptr modulus(raw_modulus);
    bool had_room = false;
    bool had_zero = false;
    for (int i = 0; i < 2000 && !(had_room && had_zero); ++i) {
        const auto text = text_of(k);
        const auto good = signature_of(k, text);
        ASSERT_EQ(by(text, good), "good");
        EXPECT_EQ(by(text, joined({{0}, good})), "bad_signature") << "257 octets";
        EXPECT_EQ(by(text, joined({good, {0}})), "bad_signature");
        EXPECT_EQ(by(text, bytes(good.begin(), good.end() - 1)), "bad_signature");
        if (good[0] == 0) {
            had_zero = true;
            EXPECT_EQ(by(text, bytes(good.begin() + 1, good.end())), "bad_signature")
                << "255 octets of the same number (RFC 8017 section 8.2.2 step 1)";
        }
        const auto value = number(good);
        BN_add(value.get(), value.get(), modulus.get());
        if (BN_num_bytes(value.get()) <= 256) {
            had_room = true;
            bytes bent(256);
            BN_bn2binpad(value.get(), bent.data(), 256);
            EXPECT_EQ(by(text, bent), "bad_signature") << "s + n";
        }
    }
    EXPECT_TRUE(had_room);
    EXPECT_TRUE(had_zero);
    const auto text = text_of(k);
    bytes own(256);
    BN_bn2binpad(modulus.get(), own.data(), 256);
    auto one = bytes(256, 0);
    one.back() = 1;
    auto minus_one = own;
    --minus_one.back();
    for (const auto& odd : {bytes(256, 0), one, own, minus_one, bytes(256, 0xff)}) {
        EXPECT_EQ(by(text, odd), "bad_signature");
    }
}

// CVE-2006-4339 and its children: whoever searches the padding for a digest, instead of comparing
// it whole, finds what the forger hid.
TEST(rsa_signatures, G11_the_padding_is_compared_whole) {
    const auto k = sample_key(algorithm::rs256);
    judge by(k);
    const auto text = text_of(k);
    const auto digest = sha256_of(text);
    ASSERT_EQ(by(text, raw_rsa(k, block_with(joined({digest_info, digest})))), "good");

    const bytes junk(40, 0x5a);
    auto short_fill = joined({{0, 1}, bytes(8, 0xff), {0}, digest_info, digest});
    short_fill.resize(256, 0);
    auto digest_in_front = joined({{0, 1}, digest, bytes(8, 0xff), {0}, digest_info});
    digest_in_front.resize(256, 0xff);
    // Without the NULL of the parameters; with a length in long form; with octets hidden in the
    // parameters; of another hash's name.
    const auto bare = from_hex(
        "302f300b0609608648016503040201"
        "0420");
    const auto long_form = from_hex("308131300d060960864801650304020105000420");
    const auto hidden =
        joined({from_hex("3059303506096086480165030402010528"), junk, {0x04, 0x20}});
    const auto sha1 = from_hex("3021300906052b0e03021a05000414");
    for (const auto& block :
         {block_with(digest), block_with(joined({digest_info, digest, junk})), short_fill,
          digest_in_front, block_with(joined({bare, digest})),
          block_with(joined({long_form, digest})), block_with(joined({hidden, digest})),
          block_with(joined({sha1, bytes(digest.begin(), digest.begin() + 20)})),
          block_with(joined({digest_info, digest}), 2),
          block_with(joined({digest_info, digest}), 0),
          block_with(joined({digest_info, digest}), 1, 0x00),
          block_with(joined({digest_info, digest}), 1, 0xfe)}) {
        ASSERT_EQ(block.size(), 256U);
        EXPECT_EQ(by(text, raw_rsa(k, block)), "bad_signature");
    }
}

TEST(rsa_signatures, G11_the_other_padding_of_rsa_is_refused) {
    const auto k = sample_key(algorithm::rs256);
    judge by(k);
    const auto text = text_of(k);
    const auto digest = sha256_of(text);
    const pkey_ctx_ptr ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, k.inner().pair.get(), nullptr));
    ASSERT_EQ(EVP_PKEY_sign_init(ctx.get()), 1);
    ASSERT_EQ(EVP_PKEY_CTX_set_rsa_padding(ctx.get(), RSA_PKCS1_PSS_PADDING), 1);
    ASSERT_EQ(EVP_PKEY_CTX_set_signature_md(ctx.get(), sha256_md()), 1);
    bytes pss(256);
    std::size_t size = pss.size();
    ASSERT_EQ(EVP_PKEY_sign(ctx.get(), pss.data(), &size, digest.data(), digest.size()), 1);
    EXPECT_EQ(by(text, pss), "bad_signature");
}

}  // namespace insula::token::test
