#include "insula/api/service.hpp"

#include "openapi.hpp"
#include "routes.hpp"

namespace insula::api {
namespace {

template <const auto& Routes>
class table_service final : public http::routed_service<Routes> {
public:
    table_service(services& with, bool metrics) : with_(with), metrics_(metrics) {}

    http::route_match match(http::method m, std::string_view path) const noexcept override {
        if (!metrics_ && path == "/metrics") {
            return {};
        }
        // Another schema's tenants have no projects: the example's routes do not exist then.
        if (!with_.projects && path.starts_with("/api/v1/projects")) {
            return {};
        }
        return http::routed_service<Routes>::match(m, path);
    }

    runtime::awaitable<result<http::response>> serve(http::request& r,
                                                     const http::route_info& route) override {
        const auto& what = http::routed_service<Routes>::endpoint(route);
        return what.call(with_, r, what.about);
    }

private:
    services& with_;
    bool metrics_;
};

}  // namespace

std::unique_ptr<http::service> make_service(services& with) {
    const auto document = openapi_document({with.version, with.public_url, with.projects});
    with.openapi = boost::json::serialize(document);
    with.docs = docs_page(document);
    return std::make_unique<table_service<routes>>(with, with.metrics_here);
}

std::unique_ptr<http::service> make_admin_service(services& with) {
    return std::make_unique<table_service<admin_routes>>(with, true);
}

std::vector<http::rate_class> rate_classes(double scale) {
    constexpr double minute = 60;
    constexpr double hour = 3600;
    std::vector<http::rate_class> classes{
        {"login", 5 / minute, 5},  {"refresh", 10 / minute, 10}, {"register", 3 / hour, 3},
        {"verify", 5 / minute, 5}, {"resend", 3 / hour, 3},      {"forgot", 3 / hour, 3},
        {"accept", 5 / hour, 5},   {"invite", 50 / hour, 50},    {"anonymous", 10, 20},
        {"session", 50, 100},      {"tenants", 10 / hour, 10},
    };
    for (auto& one : classes) {
        one.per_second *= scale;
        one.burst *= scale;
    }
    return classes;
}

}  // namespace insula::api
