#pragma once
// The whole API, every route of it, with a database that is never there: whatever would ask it ends
// in 503, because the request's time is up. So what a handler decides before that (parameters,
// bodies, cursors, conditions, policies) is run as in production, at thousands a second.
//
// authenticate() is replaced: `Authorization: Bearer owner` (admin, member, operator, assumed) is
// believed. The tokens themselves are the target token's matter.

#include "insula/api/service.hpp"
#include "insula/core/error.hpp"
#include "insula/runtime/loop.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace insula::fuzz {

/// A request as lines: `POST /api/v1/projects?x=y`, fields, an empty line, the body.
struct request_text {
    explicit request_text(std::string_view input);
    std::string head() const;

    std::string_view method;
    std::string_view target;
    std::vector<http::field> fields;
    std::string_view body;
};

struct outcome {
    const http::route_info* route = nullptr;  ///< null: not served, status says why
    unsigned status = 0;
    errc code = errc::internal;  ///< of a status from 400 on
    std::vector<field_error> fields;
    std::string body;
};

class api_stand {
public:
    /// One for the whole program; its loop runs on a thread of its own.
    static api_stand& get();

    /// As the session would: target, route, query, handler.
    outcome serve(const request_text& what, std::string_view body);
    http::service& service() { return *service_; }
    runtime::loop& loop();

private:
    struct parts;
    api_stand();

    std::unique_ptr<parts> parts_;
    std::unique_ptr<http::service> service_;
};

}  // namespace insula::fuzz
