#pragma once
#include <boost/describe.hpp>

#include <cstdint>
#include <string_view>

namespace insula::workflows {

struct clean_up_input {
    std::int32_t batch = 1'000;  ///< rows of one transaction
};
BOOST_DESCRIBE_STRUCT(clean_up_input, (), (batch))

/// Removes what nobody needs any more from the control plane: see the functions control.clean_….
struct clean_up_job {
    static constexpr std::string_view kind = "control.clean_up";
    using input = clean_up_input;
};

}  // namespace insula::workflows
