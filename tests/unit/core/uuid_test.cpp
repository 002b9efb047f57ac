#include "insula/core/ids.hpp"
#include "insula/core/time.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <unordered_set>

using namespace insula;

TEST(uuid, text_and_bytes_agree_with_the_example_of_rfc_9562) {
    // RFC 9562 appendix A.6.
    const auto id = uuid::parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F");
    ASSERT_TRUE(id);
    EXPECT_EQ(id->str(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    EXPECT_EQ(id->hex(), "017f22e279b07cc398c4dc0c0c07398f");
    EXPECT_EQ(id->bytes[0], 0x01);
    EXPECT_EQ(id->bytes[6], 0x7c);
    EXPECT_EQ(id->bytes[15], 0x8f);
}

TEST(uuid, G05_parse_takes_the_hyphenated_form_only) {
    for (const std::string_view bad :
         {"", "017f22e279b07cc398c4dc0c0c07398f", "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
          "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
          "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n",
          " 017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "017f22e2079b0-7cc3-98c4-dc0c0c07398f",
          "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "017f22e2-79b0-7cc3-98c4_dc0c0c07398f",
          "\xef\xbc\x90"
          "17f22e2-79b0-7cc3-98c4-dc0c0c07398",
          "-17f22e2-79b0-7cc3-98c4-dc0c0c07398f"}) {
        EXPECT_FALSE(uuid::parse(bad)) << bad;
    }
    const std::string with_nul("017f22e2-79b0-7cc3-98c4-dc0c0c07398\0", 36);
    EXPECT_FALSE(uuid::parse(with_nul));
}

TEST(uuid, v7_has_version_variant_and_the_time_in_milliseconds) {
    const auto before = now();
    const auto id = make_uuid_v7();
    const auto after = now();
    EXPECT_EQ(id.bytes[6] >> 4, 7);
    EXPECT_EQ(id.bytes[8] >> 6, 2);
    std::uint64_t millis = 0;
    for (int i = 0; i < 6; ++i) {
        millis = millis << 8 | id.bytes[static_cast<std::size_t>(i)];
    }
    const auto at = timestamp(std::chrono::milliseconds(millis));
    EXPECT_GE(at, before - std::chrono::milliseconds(2));
    EXPECT_LE(at, after + std::chrono::milliseconds(2));
}

TEST(uuid, v7_grows_strictly_within_a_thread) {
    auto last = make_uuid_v7();
    for (int i = 0; i < 100'000; ++i) {
        const auto next = make_uuid_v7();
        ASSERT_LT(last, next);
        last = next;
    }
}

TEST(uuid, v7_is_unique_and_ordered_in_every_thread_at_once) {
    std::vector<std::vector<uuid>> made(4);
    {
        std::vector<std::jthread> threads;
        for (auto& mine : made) {
            threads.emplace_back([&mine] {
                for (int i = 0; i < 20'000; ++i) {
                    mine.push_back(make_uuid_v7());
                }
            });
        }
    }
    std::unordered_set<uuid> all;
    for (const auto& mine : made) {
        EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
        all.insert(mine.begin(), mine.end());
    }
    EXPECT_EQ(all.size(), 80'000U);
}

TEST(uuid, text_order_is_byte_order) {
    const auto a = make_uuid_v7();
    const auto b = make_uuid_v7();
    EXPECT_LT(a.str(), b.str());
    EXPECT_LT(a.hex(), b.hex());
}

TEST(ids, of_different_kinds_do_not_mix) {
    static_assert(!std::is_convertible_v<tenant_id, user_id>);
    static_assert(!std::is_convertible_v<uuid, tenant_id>);
    static_assert(is_id_v<tenant_id> && !is_id_v<uuid>);
    const auto id = tenant_id::make();
    EXPECT_EQ(tenant_id::parse(id.str()), id);
    EXPECT_FALSE(tenant_id::parse("x"));
    EXPECT_TRUE(tenant_id().is_nil());
    EXPECT_FALSE(id.is_nil());
}
