#include "http/refusal.hpp"

namespace insula::http {

response make_refusal(refusal why, std::string_view request_id) {
    switch (why) {
        case refusal::timeout:
            return make_problem(errc::request_timeout, request_id);
        case refusal::body_too_large:
            return make_problem(errc::payload_too_large, request_id);
        case refusal::header_too_large:
            return make_problem(errc::header_too_large, request_id);
        case refusal::target_too_long:
            return make_problem(error(errc::header_too_large, "the request target is too long"),
                                {414, "The request target is too long"}, request_id);
        case refusal::no_room:
            return make_problem(error(errc::overloaded, "too many large bodies are being received"),
                                request_id);
        case refusal::unknown_coding:
            return make_problem(
                error(errc::not_implemented, "Transfer-Encoding may only be chunked"), request_id);
        case refusal::expectation:
            return make_problem(
                error(errc::malformed_request, "only Expect: 100-continue is understood"),
                {417, "The expectation failed"}, request_id);
        case refusal::none:
        case refusal::malformed:
            break;
    }
    return make_problem(errc::malformed_request, request_id);
}

std::string_view name(refusal why) noexcept {
    switch (why) {
        case refusal::none:
            return "none";
        case refusal::malformed:
            return "malformed";
        case refusal::timeout:
            return "timeout";
        case refusal::body_too_large:
            return "body_too_large";
        case refusal::target_too_long:
            return "target_too_long";
        case refusal::no_room:
            return "no_room";
        case refusal::expectation:
            return "expectation";
        case refusal::header_too_large:
            return "header_too_large";
        case refusal::unknown_coding:
            return "unknown_coding";
    }
    return "none";
}

}  // namespace insula::http
