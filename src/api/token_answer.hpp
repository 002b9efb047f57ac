#pragma once
#include "insula/http/response.hpp"
#include "insula/identity/issue_tokens.hpp"

#include <string>

namespace insula::api {

/// *tokens* of API.md. Without a refresh token (an assumed identity) both of its members are left
/// out.
std::string to_json(const identity::issued_tokens& issued);

/// 200 with them.
http::response answer_tokens(const identity::issued_tokens& issued);

}  // namespace insula::api
