#include "insula/observe/trace.hpp"

#include <gtest/gtest.h>

using namespace insula::observe;

namespace {
constexpr std::string_view example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
}

TEST(trace_context, reads_and_writes_the_header_of_the_specification) {
    const auto context = trace_context::parse(example);
    ASSERT_TRUE(context);
    EXPECT_EQ(context->traceparent(), example);
    EXPECT_EQ(context->trace_id_hex(), "0af7651916cd43dd8448eb211c80319c");
    EXPECT_EQ(context->span_id_hex(), "b7ad6b7169203331");
    EXPECT_TRUE(context->sampled());
}

TEST(trace_context, refuses_what_the_specification_refuses) {
    for (const std::string_view bad :
         {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
          "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
          "00-00000000000000000000000000000000-b7ad6b7169203331-01",
          "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
          "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
          "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
          "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 "}) {
        EXPECT_FALSE(trace_context::parse(bad)) << bad;
    }
}

TEST(trace_context, takes_the_known_part_of_a_later_version) {
    const auto context =
        trace_context::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-else");
    ASSERT_TRUE(context);
    EXPECT_EQ(context->traceparent(), example) << "and is passed on as version 00";
}

TEST(trace_context, a_child_stays_in_its_trace) {
    const auto parent = trace_context::parse(example).value();
    const auto child = parent.child();
    EXPECT_EQ(child.trace_id, parent.trace_id);
    EXPECT_NE(child.span_id, parent.span_id);
    EXPECT_TRUE(child.sampled());
    EXPECT_EQ(trace_context::from_header(example).trace_id, parent.trace_id);
}

TEST(trace_context, a_bad_header_starts_a_trace) {
    const auto one = trace_context::from_header("rubbish");
    const auto two = trace_context::from_header("");
    EXPECT_NE(one.trace_id, two.trace_id);
    EXPECT_EQ(trace_context::parse(one.traceparent()), one);
    EXPECT_FALSE(one.sampled());
}
