#pragma once
#include "insula/core/error.hpp"
#include "insula/http/request.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace insula::api {

/// Our entity tags are strong: "v" and the row's version, quoted (RFC 9110 section 8.8.3).
std::string etag(std::int32_t version);

/// If-Match (RFC 9110 section 13.1.1). nullopt: absent, no condition. Else the versions that may be
/// changed; `any` for `*`. Weak tags and tags that are not ours match nothing; a field that is no
/// list of tags is malformed_request.
struct if_match {
    bool any = false;
    std::vector<std::int32_t> versions;
};
result<std::optional<if_match>> read_if_match(const http::request& r);

/// If-None-Match on GET: true when the tag (weakly compared) is among those the client has, so 304
/// is due.
bool not_modified(const http::request& r, std::int32_t version);

}  // namespace insula::api
