#pragma once
#include "insula/core/error.hpp"
#include "insula/http/request.hpp"
#include "insula/http/response.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace insula::api {

/// Our entity tags are strong: "v" and the row's version, quoted (RFC 9110 section 8.8.3).
std::string etag(std::int32_t version);

/// An answer that says more than the row whose version it has (whose name, which role): its tag is
/// that version and a digest of the body, so If-Match is about the row and If-None-Match about all
/// of it. 304 without a body when that is what a GET's client has.
http::response answer_tagged(const http::request& r, std::int32_t version, std::string body);

/// If-Match (RFC 9110 section 13.1.1). nullopt: absent, no condition. Else the versions that may be
/// changed; `any` for `*`; a digest behind the version does not matter. Weak tags and tags that are
/// not ours match nothing; a field that is no list of tags is malformed_request.
struct if_match {
    bool any = false;
    std::vector<std::int32_t> versions;
};
result<std::optional<if_match>> read_if_match(const http::request& r);

/// If-None-Match on GET: true when the tag (weakly compared) is among those the client has, so 304
/// is due.
bool not_modified(const http::request& r, std::int32_t version);

}  // namespace insula::api
