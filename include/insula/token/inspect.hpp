#pragma once

#include "insula/token/token.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::token {

/// What `insula token inspect` prints. Nothing in it is to be trusted unless `why` is empty.
struct inspection {
    std::optional<refusal> why;  // empty: the token is good
    std::string sentence;        // what is wrong and what it means, for a human
    std::string header;   // decoded text of the segments, when they decode; control characters
    std::string payload;  // escaped, so that a terminal can show them
    std::string kid;      // as the header claims
    std::optional<key_state> state;  // of that key, when it is ours
    std::optional<claims> what;      // when the token is good
};

/// Slow and allocating, on purpose: for people. Never a way to authenticate.
inspection inspect(std::string_view token, const authority& who,
                   std::shared_ptr<const key_set> keys, timestamp now);

}  // namespace insula::token
