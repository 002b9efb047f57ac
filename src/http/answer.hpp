#pragma once
// Turning a response into octets: the one place that writes a header.

#include "insula/http/response.hpp"

#include <string>
#include <string_view>

namespace insula::http {

struct answer_context {
    std::string_view request_id;
    std::string_view cors_fields;  // ready lines, or empty
    bool close = false;
    bool http10 = false;  // a kept connection must then be said to be kept
    bool head = false;    // HEAD: the length of the body, not the body
};

/// Appends the header of `r`.
void write_head(std::string& out, const response& r, const answer_context& context);
/// What follows the header; empty for HEAD and for statuses that have none.
std::string_view body_to_send(const response& r, const answer_context& context) noexcept;

/// "Date: Mon, 23 Nov 2026 06:30:00 GMT\r\n", made anew once a second (IMF-fixdate, RFC
/// 9110 5.6.7).
std::string_view date_line() noexcept;

}  // namespace insula::http
