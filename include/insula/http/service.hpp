#pragma once

#include "insula/core/error.hpp"
#include "insula/http/request.hpp"
#include "insula/http/response.hpp"
#include "insula/http/router.hpp"
#include "insula/runtime/executor.hpp"

namespace insula::http {

/// What a server serves. One object for all loops; called on each of them, so it must not hold
/// unguarded shared state.
class service {
public:
    virtual ~service() = default;

    virtual route_match match(method m, std::string_view path) const noexcept = 0;
    virtual std::size_t route_count() const noexcept = 0;
    virtual const route_info& route(std::size_t index) const noexcept = 0;

    /// Called with the body complete and the route's own rules (size, media type, rate) met. `r`
    /// lives until the response was written. The result: a response, or an error that the session
    /// turns into problem+json. An infrastructure_error becomes 503 `overloaded`, any other
    /// exception 500 `internal`; both are logged with the request id, their text is not shown.
    /// Never cancelled by the session: `r.deadline` is the handler's to keep.
    virtual runtime::awaitable<result<response>> serve(request& r, const route_info& route) = 0;
};

/// Implements the look-ups over a constexpr router that lives for ever; serve() remains:
///   class api : public routed_service<routes> { awaitable<result<response>> serve(request& r,
///   const route_info& route) override {
///       return routed_service::endpoint(route).call(*this, r); } };
template <const auto& Routes>
class routed_service : public service {
public:
    using row = typename std::remove_cvref_t<decltype(Routes)>::row;

    route_match match(method m, std::string_view path) const noexcept override {
        return Routes.match(m, path);
    }
    std::size_t route_count() const noexcept override { return Routes.size(); }
    const route_info& route(std::size_t index) const noexcept override { return Routes[index]; }

protected:
    static const auto& endpoint(const route_info& route) noexcept {
        return static_cast<const row&>(route).endpoint;
    }
};

}  // namespace insula::http
