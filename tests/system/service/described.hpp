// Whether answers are what /openapi.json says they are. Every answer that an http_client of this
// program gets is held against it (described.cpp), so a test need not ask.
#pragma once

#include "deployment.hpp"

namespace insula::test {

/// Why the answer of an operation is not one that the document describes; empty when it is.
/// `target` as requested: "/api/v1/projects?limit=2".
std::string not_described(const json::object& document, std::string_view method,
                          std::string_view target, const http_answer& answer);

/// The answer's status is one that the operation has, and its body fits the schema of that status.
/// `path` as in the document: "/api/v1/projects/{id}".
testing::AssertionResult is_described(http_client& client, const http_answer& answer,
                                      std::string_view method, std::string_view path);

/// Whether an operation refuses to go without an access token.
bool needs_token(const json::object& operation);

/// What a reference in the document stands for; anything else is itself.
const json::object& resolved(const json::object& document, const json::object& maybe_reference);

}  // namespace insula::test
