#include "insula/observe/log.hpp"

#include <gtest/gtest.h>

namespace insula::observe {
namespace {

TEST(log_line, leaves_a_field_without_a_key_out) {
    for (const auto format : {log_format::json, log_format::text}) {
        EXPECT_EQ(format_log_line(format, log_level::info, timestamp(), "event",
                                  {{"", "nothing"}, {"key", 1}}),
                  format_log_line(format, log_level::info, timestamp(), "event", {{"key", 1}}));
    }
}

}  // namespace
}  // namespace insula::observe
