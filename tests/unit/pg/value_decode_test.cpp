// Cells as a server that speaks nonsense could send them: refused, and nothing is read beyond their
// end.
#include "insula/pg/value_decode.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace insula::pg::detail {
namespace {

constexpr oid int4 = 23;
constexpr oid int4_array = 1007;

/// The octets in a block of exactly their size, so that a sanitizer sees what is read behind them.
class octets {
public:
    octets& number(std::int32_t value) {
        for (int shift = 24; shift >= 0; shift -= 8) {
            bytes_.push_back(static_cast<char>(static_cast<std::uint32_t>(value) >>
                                               static_cast<unsigned>(shift)));
        }
        return *this;
    }
    cell as(oid type, std::size_t cut = 0) {
        const auto size = bytes_.size() - cut;
        exact_ = std::make_unique<char[]>(size);
        std::copy_n(bytes_.begin(), size, exact_.get());
        cell c;
        c.data = exact_.get();
        c.length = static_cast<int>(size);
        c.binary = true;
        c.type = type;
        return c;
    }
    std::size_t size() const { return bytes_.size(); }

private:
    std::vector<char> bytes_;
    std::unique_ptr<char[]> exact_;
};

/// [7, null, 9]
octets good_array() {
    octets out;
    out.number(1).number(1).number(static_cast<std::int32_t>(int4)).number(3).number(1);
    out.number(4).number(7).number(-1).number(4).number(9);
    return out;
}

using numbers = std::vector<std::optional<std::int32_t>>;

TEST(pg_value_decode, an_array_is_read_as_it_is) {
    auto good = good_array();
    EXPECT_EQ(decoder<numbers>::decode(good.as(int4_array)), (numbers{7, std::nullopt, 9}));
    octets empty;
    empty.number(0).number(0).number(static_cast<std::int32_t>(int4));
    EXPECT_TRUE(decoder<numbers>::decode(empty.as(int4_array)).empty());
}

TEST(pg_value_decode, an_array_that_is_cut_anywhere_is_refused) {
    for (std::size_t cut = 1; cut <= good_array().size(); ++cut) {
        auto bent = good_array();
        EXPECT_THROW((void)decoder<numbers>::decode(bent.as(int4_array, cut)), wrong_column) << cut;
    }
}

TEST(pg_value_decode, an_array_that_says_what_is_not_so_is_refused) {
    struct header {
        std::int32_t dimensions;
        std::int32_t has_nulls;
        std::int32_t count;
        std::int32_t first_length;
    };
    for (const auto& h : {header{2, 0, 1, 4}, header{-1, 0, 1, 4}, header{1, 7, 1, 4},
                          header{1, 0, 2, 4}, header{1, 0, 2'000'000'000, 4}, header{1, 0, -1, 4},
                          header{1, 0, 1, 5}, header{1, 0, 1, 2'147'483'647}, header{1, 0, 1, 3}}) {
        octets bent;
        bent.number(h.dimensions).number(h.has_nulls).number(static_cast<std::int32_t>(int4));
        bent.number(h.count).number(1).number(h.first_length).number(7);
        EXPECT_THROW((void)decoder<std::vector<std::int32_t>>::decode(bent.as(int4_array)),
                     wrong_column)
            << h.dimensions << ' ' << h.count << ' ' << h.first_length;
    }
}

TEST(pg_value_decode, text_and_null_are_no_arrays) {
    cell text;
    text.data = "{7,NULL,9}{7,NULL,9}";
    text.length = 20;
    EXPECT_THROW((void)decoder<numbers>::decode(text), wrong_column);
    cell null;
    null.null = true;
    EXPECT_THROW((void)decoder<numbers>::decode(null), wrong_column);
    EXPECT_EQ(decoder<std::optional<numbers>>::decode(null), std::nullopt);
}

// Whatever the octets: values or a refusal, and never more room than they could fill.
TEST(pg_value_decode, G63_random_octets_never_read_beyond_their_end) {
    std::mt19937 random(20261123);
    for (int round = 0; round < 20'000; ++round) {
        auto bent = good_array();
        auto c = bent.as(int4_array, random() % 12);
        for (unsigned i = 0; i < 1 + random() % 3; ++i) {
            const_cast<char*>(c.data)[random() % static_cast<unsigned>(c.length)] =
                static_cast<char>(random());
        }
        try {
            EXPECT_LE(decoder<numbers>::decode(c).size(), 10U);
        } catch (const wrong_column&) {
        }
    }
}

}  // namespace
}  // namespace insula::pg::detail
