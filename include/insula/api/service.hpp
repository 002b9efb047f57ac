#pragma once
#include "insula/http/rate_limit.hpp"
#include "insula/http/service.hpp"
#include "insula/identity/context.hpp"
#include "insula/identity/token_service.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/tenancy/scope.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace insula::api {

/// What a request may need; made once by app, outlives the servers. Usable from any loop.
struct services {
    identity::context& identity;
    identity::token_service& tokens;
    const tenancy::cells& cells;
    observe::metrics& metrics;
    http::rate_limiter* limiter = nullptr;  ///< null: INSULA_RATE_LIMIT=off
    std::string public_url;                 ///< issuer, and links in mail; no slash at the end
    bool mail_pages = false;                ///< `insula dev`: answer the links of mails ourselves
    bool metrics_here = true;  ///< false: an admin listener has /metrics, the public one does not
    bool projects = true;      ///< false: INSULA_TENANT_MIGRATIONS replaced the example's schema
    std::string version;
    /// Empty: ready. Else what is wrong, as codes.
    std::function<runtime::awaitable<std::vector<std::string>>(runtime::deadline)> readiness;

    // Made by make_service().
    std::string openapi;  ///< the OpenAPI 3.1 document
    std::string docs;     ///< the page of it
};

/// Every route of API.md, over http::service.
std::unique_ptr<http::service> make_service(services& with);
/// /livez, /readyz and /metrics only: what INSULA_ADMIN_LISTEN serves.
std::unique_ptr<http::service> make_admin_service(services& with);

/// The classes of API.md section 1, `scale` times looser (100 in `insula dev`).
std::vector<http::rate_class> rate_classes(double scale);

}  // namespace insula::api
