// Whether an answer is what /openapi.json says it is.
#pragma once

#include "deployment.hpp"

namespace insula::test {

/// The answer's status is one that the operation has, and its body fits the schema of that status.
/// `path` as in the document: "/api/v1/projects/{id}".
testing::AssertionResult is_described(http_client& client, const http_answer& answer,
                                      std::string_view method, std::string_view path);

}  // namespace insula::test
