// The parser of what is inside tokens, at its edges. Foreign members are skipped, so whatever they
// hold has to be JSON; nothing may be read behind the text, whatever lies there.
#include "token/strict_json.hpp"

#include "support.hpp"

#include <string>
#include <vector>

namespace insula::token::test {

namespace {

class strict_payload : public with_key {
protected:
    std::string with(std::string_view member) {
        return verdict(check,
                       forge(header_of(k),
                             changed(payload_of(what), "{", "{" + std::string(member) + ","), k));
    }
};
INSTANTIATE_TEST_SUITE_P(fast, strict_payload, testing::Values(algorithm::hs256), algorithm_label);

std::string members(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
        text += (i == 0 ? "" : ",") + std::string("\"n") + std::to_string(i) + "\":1";
    }
    return text;
}

}  // namespace

TEST_P(strict_payload, G11_numbers_are_those_of_rfc_8259) {
    for (const auto* good :
         {"0", "-0", "7", "-12", "1.5", "0.25", "1e3", "1E3", "1e+3", "1e-3", "-1.5e-10"}) {
        EXPECT_EQ(with("\"x\":" + std::string(good)), "good") << good;
    }
    for (const auto* bad : {"", "-", "+1", "01", "-01", "1.", ".5", "1.e3", "1e", "1e+", "1e-",
                            "1ee3", "1e3.5", "0x10", "1_000", "Infinity", "NaN", "1 2"}) {
        EXPECT_EQ(with("\"x\":" + std::string(bad)), "bad_claims") << bad;
    }
}

TEST(strict_json_edges, G65_the_members_of_a_foreign_object_are_bounded) {
    for (const std::size_t count : {1U, 24U, 25U, 26U}) {
        const auto text = "{" + members(count) + "}" + std::string(json_padding, ' ');
        strict_json json(text);
        EXPECT_EQ(json.skip(), count <= 24) << count;
    }
    strict_json::names seen;
    const auto name = [](int i) { return std::to_string(i); };
    std::vector<std::string> names;
    for (int i = 0; i < 25; ++i) {
        names.push_back(name(i));
    }
    for (std::size_t i = 0; i < 25; ++i) {
        EXPECT_EQ(seen.add(names[i]), i < 24);
        EXPECT_FALSE(seen.add(names[i]));
    }
}

// A text without end, of every length: what lies behind it would end it.
TEST(strict_json_edges, G11_nothing_behind_the_text_is_read) {
    for (const char behind : {'a', '"', '}', '\\', '\0'}) {
        for (std::size_t size = 1; size < 80; ++size) {
            std::string buffer = "{\"" + std::string(size, 'a');
            const auto length = buffer.size();
            buffer.append(json_padding, behind);
            strict_json json(std::string_view(buffer).substr(0, length));
            std::string_view name;
            bool first = true;
            ASSERT_TRUE(json.open_object());
            ASSERT_EQ(json.next(name, first), strict_json::step::bad) << size << behind;
        }
    }
}

TEST_P(strict_payload, claims_of_a_refused_token_are_a_bug) {
    const auto refused = check.verify("no.token.atall", noon);
    EXPECT_THROW((void)refused.value(), std::logic_error);
}

}  // namespace insula::token::test
