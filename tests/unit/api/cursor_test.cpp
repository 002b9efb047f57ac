#include "api/cursor.hpp"

#include <gtest/gtest.h>

namespace insula::api {
namespace {

struct cursor : testing::Test {
    secret_bytes key{32};
    identity::secret_keys keys{key};
    tenant_id tenant = tenant_id::make();
    list_position position{timestamp(std::chrono::microseconds(1'700'000'000'123'456)),
                           make_uuid_v7()};

    static result<std::optional<list_position>> read(const cursor_codec& codec,
                                                     const std::string& text) {
        http::request r;
        std::string query = "cursor=";
        for (const char c : text) {
            query += c;
        }
        EXPECT_TRUE(r.query.parse(query));
        return codec.read(r);
    }
};

TEST_F(cursor, comes_back_as_it_went) {
    const cursor_codec codec(keys, "projects", tenant);
    const auto read_back = read(codec, codec.write(position));
    ASSERT_TRUE(read_back && *read_back);
    EXPECT_EQ((*read_back)->created_at, position.created_at);
    EXPECT_EQ((*read_back)->id, position.id);
}

TEST_F(cursor, of_another_list_tenant_filter_or_key_is_refused) {
    const auto text = cursor_codec(keys, "projects", tenant).write(position);
    secret_bytes other(32);
    other.writable()[5] = 9;
    const identity::secret_keys other_keys(other);
    for (const auto& codec :
         {cursor_codec(keys, "members", tenant), cursor_codec(keys, "projects", tenant_id::make()),
          cursor_codec(keys, "projects", tenant, "status=open"),
          cursor_codec(other_keys, "projects", tenant)}) {
        const auto refused = read(codec, text);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code(), errc::invalid_cursor);
    }
}

TEST_F(cursor, with_any_character_changed_is_refused) {
    const cursor_codec codec(keys, "projects", tenant);
    const auto text = codec.write(position);
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto changed = text;
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        EXPECT_FALSE(read(codec, changed)) << i;
        EXPECT_FALSE(read(codec, text.substr(0, i))) << i;
    }
    EXPECT_FALSE(read(codec, text + "A"));
    EXPECT_FALSE(read(codec, std::string(10'000, 'A')));
}

}  // namespace
}  // namespace insula::api
