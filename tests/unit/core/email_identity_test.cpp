// G17: which spellings of an address are one identity, which are two, which are none.
#include "insula/core/values.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace insula {
namespace {

enum class verdict { one, two, none };

struct spelling {
    std::string_view what;
    std::string_view first;
    std::string_view second;
    verdict are;
};

// The rule: local part in NFKC_Casefold, domain in ASCII by IDNA 2008; equal is one. What looks
// alike only to the eye (letters of two scripts) is two addresses to every mail server, and so it
// is here. What a provider does besides (Gmail's dots and pluses) is nobody else's business.
const spelling table[] = {
    {"case", "alice@example.org", "ALICE@Example.ORG", verdict::one},
    {"wide letters", "alice@example.org", "ａｌｉｃｅ@example.org", verdict::one},
    {"a wide domain", "alice@example.org", "alice@ｅｘａｍｐｌｅ.org", verdict::one},
    {"an ideographic full stop", "alice@example.org", "alice@example。org", verdict::one},
    {"composed and decomposed", "jos\u00e9@example.org", "jose\u0301@example.org", verdict::one},
    {"a ligature", "of\ufb01ce@example.org", "office@example.org", verdict::one},
    {"the Kelvin sign", "\u212aelvin@example.org", "kelvin@example.org", verdict::one},
    {"the long s", "ja\u017fon@example.org", "jason@example.org", verdict::one},
    {"sharp s, before the @", "stra\u00dfe@example.org", "STRASSE@example.org", verdict::one},
    {"a final sigma", "\u03bf\u03b4\u03bf\u03c2@example.org",
     "\u039f\u0394\u039f\u03a3@example.org", verdict::one},
    {"superscripts", "m\u00b2@example.org", "m2@example.org", verdict::one},
    {"a soft hyphen", "ali\u00adce@example.org", "alice@example.org", verdict::one},
    {"a zero width joiner", "ali\u200dce@example.org", "alice@example.org", verdict::one},
    {"a variation selector", "alice\ufe0f@example.org", "alice@example.org", verdict::one},
    {"IDN and Punycode", "a@m\u00fcnchen.de", "a@xn--mnchen-3ya.de", verdict::one},
    {"Punycode in capitals", "a@m\u00fcnchen.de", "a@XN--MNCHEN-3YA.DE", verdict::one},

    {"plus", "alice+news@example.org", "alice@example.org", verdict::two},
    {"dots", "a.lice@example.org", "alice@example.org", verdict::two},
    {"a Cyrillic a", "\u0430lice@example.org", "alice@example.org", verdict::two},
    {"a Cyrillic domain", "a@\u0435xample.org", "a@example.org", verdict::two},
    {"a Greek omicron", "b\u03bfb@example.org", "bob@example.org", verdict::two},
    {"a dotless i", "\u0131da@example.org", "ida@example.org", verdict::two},
    {"sharp s, in a domain", "a@stra\u00dfe.de", "a@strasse.de", verdict::two},
    {"one and l", "a1ice@example.org", "alice@example.org", verdict::two},
    {"a subdomain", "alice@mail.example.org", "alice@example.org", verdict::two},

    {"white space", "alice@example.org", "alice @example.org", verdict::none},
    {"a no-break space", "alice@example.org", "ali\u00a0ce@example.org", verdict::none},
    {"a wide @", "alice@example.org", "alice\uff20example.org", verdict::none},
    {"a small @ that folds to one", "alice@example.org", "ali\ufe6bce@example.org", verdict::none},
    {"a mark that turns the text around", "alice@example.org", "ecila\u202e@example.org",
     verdict::none},
    {"a full stop at the end", "alice@example.org", "alice@example.org.", verdict::none},
    {"an address in a comment", "alice@example.org", "alice(bob)@example.org", verdict::none},
    {"two addresses", "alice@example.org", "alice@example.org,bob@example.org", verdict::none},
    {"a quoted local part", "alice@example.org", "\"alice\"@example.org", verdict::none},
    {"a line break", "alice@example.org", "alice@example.org\r\nBcc: bob@example.org",
     verdict::none},
    {"Punycode of nothing", "a@m\u00fcnchen.de", "a@xn--m\u00fcnchen.de", verdict::none},
};

class email_identity : public testing::TestWithParam<spelling> {};
INSTANTIATE_TEST_SUITE_P(every, email_identity, testing::ValuesIn(table), [](const auto& info) {
    std::string name;
    for (const char c : info.param.what) {
        name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    }
    return name;
});

TEST_P(email_identity, G17_is_one_two_or_refused_as_the_table_says) {
    const auto first = email_address::parse(GetParam().first);
    const auto second = email_address::parse(GetParam().second);
    ASSERT_TRUE(first);
    ASSERT_EQ(second.has_value(), GetParam().are != verdict::none);
    if (second) {
        EXPECT_EQ(first->canonical() == second->canonical(), GetParam().are == verdict::one)
            << first->canonical() << " " << second->canonical();
        EXPECT_EQ(second->str(), GetParam().second) << "stored as typed";
        const auto again = email_address::parse(second->canonical());
        ASSERT_TRUE(again);
        EXPECT_EQ(again->canonical(), second->canonical()) << "one form, not a chain of forms";
    }
}

}  // namespace
}  // namespace insula
