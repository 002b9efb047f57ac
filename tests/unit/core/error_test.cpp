#include "insula/core/error.hpp"

#include <gtest/gtest.h>

#include <set>

using namespace insula;

TEST(errc, every_code_has_its_own_snake_case_name) {
    std::set<std::string_view> names;
    for (int i = 1; i <= static_cast<int>(errc_last); ++i) {
        const auto text = name(static_cast<errc>(i));
        EXPECT_NE(text, "unknown");
        EXPECT_EQ(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos)
            << text;
        EXPECT_TRUE(names.insert(text).second) << text << " twice";
    }
}

TEST(errc, the_names_the_api_promises) {
    EXPECT_EQ(name(errc::malformed_request), "malformed_request");
    EXPECT_EQ(name(errc::invalid_token_value), "invalid_token_value");
    EXPECT_EQ(name(errc::refresh_token_reused), "refresh_token_reused");
    EXPECT_EQ(name(errc::email_not_verified), "email_not_verified");
    EXPECT_EQ(name(errc::tenant_pending_deletion), "tenant_pending_deletion");
    EXPECT_EQ(name(errc::idempotency_in_progress), "idempotency_in_progress");
    EXPECT_EQ(name(errc::unsupported_media_type), "unsupported_media_type");
    EXPECT_EQ(name(errc::idempotency_key_reused), "idempotency_key_reused");
    EXPECT_EQ(name(errc::header_too_large), "header_too_large");
    EXPECT_EQ(name(errc::not_implemented), "not_implemented");
    EXPECT_EQ(name(static_cast<errc>(0)), "ok");
    EXPECT_EQ(name(static_cast<errc>(999)), "unknown");
    EXPECT_EQ(name(static_cast<errc>(-1)), "unknown");
}

TEST(errc, is_a_boost_error_code) {
    const boost::system::error_code ec = errc::slug_taken;
    EXPECT_EQ(ec.message(), "slug_taken");
    EXPECT_STREQ(ec.category().name(), "insula");
}

TEST(error, of_a_bare_code_has_no_texts) {
    const error e = errc::not_found;
    EXPECT_EQ(e.code(), errc::not_found);
    EXPECT_TRUE(e == errc::not_found);
    EXPECT_EQ(e.detail(), "");
    EXPECT_EQ(e.internal(), "");
    EXPECT_TRUE(e.fields().empty());
    EXPECT_FALSE(e.retry_after());
    EXPECT_EQ(e.extension(), "");
    EXPECT_LE(sizeof(error), 32U);
}

TEST(error, keeps_client_text_and_log_text_apart) {
    const error e(errc::conflict, "for everyone", "for the log");
    EXPECT_EQ(e.detail(), "for everyone");
    EXPECT_EQ(e.internal(), "for the log");
    EXPECT_EQ(e.describe(), "conflict: for everyone [for the log]");
}

TEST(error, additions_make_copies_and_keep_the_rest) {
    const error base(errc::rate_limited, "slow down");
    const auto full = base.with_retry_after(std::chrono::seconds(7))
                          .with_extension("\"a\":1")
                          .with_internal("bucket empty");
    EXPECT_EQ(full.detail(), "slow down");
    EXPECT_EQ(full.retry_after(), std::chrono::seconds(7));
    EXPECT_EQ(full.extension(), "\"a\":1");
    EXPECT_EQ(full.internal(), "bucket empty");
    EXPECT_FALSE(base.retry_after());
    EXPECT_EQ(base.internal(), "");
}

TEST(error, validation_lists_every_field) {
    const auto e = error::validation({{"/a", "required", "x"}, {"/b", "too_long", "y"}});
    EXPECT_TRUE(e == errc::validation_failed);
    ASSERT_EQ(e.fields().size(), 2U);
    EXPECT_EQ(e.fields()[1], (field_error{"/b", "too_long", "y"}));
    EXPECT_EQ(e.describe(), "validation_failed /a=required /b=too_long");
}

TEST(result, carries_a_value_or_an_error) {
    const result<int> good = 4;
    const result<int> bad = errc::last_owner;
    const result<> nothing;
    EXPECT_EQ(*good, 4);
    EXPECT_FALSE(bad.has_value());
    EXPECT_TRUE(bad.error() == errc::last_owner);
    EXPECT_TRUE(nothing.has_value());
}

TEST(result, asking_for_the_value_of_a_failure_throws_what_failed) {
    const result<int> bad = error(errc::conflict, "", "why");
    try {
        (void)bad.value();
        FAIL() << "did not throw";
    } catch (const bad_result& e) {
        EXPECT_TRUE(e.reason() == errc::conflict);
        EXPECT_NE(std::string(e.what()).find("why"), std::string::npos);
    }
}
