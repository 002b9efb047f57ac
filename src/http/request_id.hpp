#pragma once

#include <string>
#include <string_view>

namespace insula::http {

/// [A-Za-z0-9._-]{1,64}
bool valid_request_id(std::string_view text) noexcept;
/// 32 hexadecimal digits, unique, not secret: written into `out`, which is replaced.
void make_request_id(std::string& out);

}  // namespace insula::http
