#pragma once
#include <boost/describe.hpp>

#include <cstdint>
#include <string_view>

namespace insula::workflows {

struct unverified_purge_input {
    std::int64_t ttl_seconds = 0;
};
BOOST_DESCRIBE_STRUCT(unverified_purge_input, (), (ttl_seconds))

/// Deletes tenants whose registrant never verified the mail address, and frees both names.
struct unverified_purge_job {
    static constexpr std::string_view kind = "tenant.purge_unverified";
    using input = unverified_purge_input;
};

}  // namespace insula::workflows
