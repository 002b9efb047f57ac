// What a session decides when the header is there and the body is not: no waiting in here.
#include "http/request_id.hpp"
#include "http/session.hpp"
#include "http/target.hpp"

#include <algorithm>

namespace insula::http {

/// The header is there: what is asked, by whom, and whether it has to be refused before the body is
/// read.
void session::begin_request() {
    end_waiting();
    started_ = steady::now();
    has_head_ = true;
    request_.fields = reader_.fields();
    request_.method = parse_method(reader_.method_token());
    request_.target = reader_.target();
    request_.path = {};
    request_.params = {};
    request_.query.clear();
    cors_preflight_.clear();
    name_request();
    find_client();
    continue_trace();
    match_ = {};
    match_.index = shared_.target.route_count();
    answer_.reset();
    (void)route();
    const auto own =
        match_.route != nullptr ? match_.route->options.timeout : std::chrono::milliseconds(0);
    request_.deadline = {started_ +
                         (own.count() > 0 ? own : shared_.options.limits.request_timeout)};
}

void session::name_request() {
    const auto sent = request_.header("X-Request-ID");
    if (sent && valid_request_id(*sent)) {
        request_id_.assign(*sent);
    } else {
        make_request_id(request_id_);
    }
    request_.request_id = request_id_;
}

void session::find_client() {
    const auto& proxies = shared_.options.proxies;
    const bool through_proxy = peer_address_ && proxies.contains(*peer_address_);
    if (through_proxy || client_.empty()) {
        const auto client = !peer_address_  ? ip_address()
                            : through_proxy ? forwarded_client()
                                            : *peer_address_;
        client_ = peer_address_ ? client.str() : request_.peer.host();
        client_key_ = peer_address_ ? client.key() : client_;
    }
    request_.client = client_;
    request_.client_key = client_key_;
}

/// Several fields of one name are one list (RFC 9110 5.3).
ip_address session::forwarded_client() const {
    std::string forwarded;
    std::string x_forwarded_for;
    for (const auto& f : request_.fields) {
        auto* list = iequals(f.name, "Forwarded")         ? &forwarded
                     : iequals(f.name, "X-Forwarded-For") ? &x_forwarded_for
                                                          : nullptr;
        if (list == nullptr)
            continue;
        if (!list->empty())
            list->append(", ");
        list->append(f.value);
    }
    return client_address(*peer_address_, forwarded, x_forwarded_for, shared_.options.proxies);
}

void session::continue_trace() {
    trace_.clear();
    if (const auto sent = request_.header("traceparent")) {
        if (const auto trace = observe::trace_context::parse(*sent))
            trace_ = trace->child().traceparent();
    }
    request_.traceparent = trace_;
}

std::size_t session::body_bytes_max() const noexcept {
    const auto own = match_.route != nullptr ? match_.route->options.body_bytes_max : 0;
    return own != 0 ? own : shared_.options.limits.body_bytes_max;
}

bool session::answered(response r) {
    answer_ = std::move(r);
    return false;
}

/// Everything that can be said without the body. An answer here means that the handler is not
/// called.
bool session::route() {
    const auto target = split(request_.target, request_.method == method::options);
    if (target.form == target_form::malformed) {
        closing_ = refused_ = true;
        shared_.record.refused(refusal::malformed);
        return answered(problem(error(errc::malformed_request, "the request target is malformed")));
    }
    if (target.form == target_form::asterisk) {
        return answered(
            response::no_content().set("Allow", "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"));
    }
    switch (canonical_path(target.path, path_, request_.path)) {
        case path_verdict::malformed:
            return answered(problem(error(errc::malformed_request, "the path is malformed")));
        case path_verdict::names_nothing:
            return answered(problem(errc::not_found));
        case path_verdict::ok:
            break;
    }
    if (!find_route() || !check_load() || !check_media_type())
        return false;
    if (const auto parsed = request_.query.parse(target.query); !parsed)
        return answered(problem(parsed.error()));
    return true;
}

bool session::find_route() {
    const auto none = match_.index;
    match_ = shared_.target.match(request_.method, request_.path);
    if (match_.route != nullptr) {
        request_.params = match_.params;
        return true;
    }
    match_.index = none;
    if (match_.allow.empty())
        return answered(problem(errc::not_found));
    if (request_.method == method::options) {
        cors_preflight_ = shared_.origins.preflight(request_, match_.allow);
        return answered(response::no_content().set("Allow", match_.allow));
    }
    return answered(std::move(problem(errc::method_not_allowed).set("Allow", match_.allow)));
}

bool session::check_load() {
    auto& record = shared_.record;
    if (record.now()->in_flight.load(std::memory_order_relaxed) >=
        shared_.options.limits.in_flight_max) {
        record.requests_refused().add();
        return answered(problem(errc::overloaded));
    }
    const auto rate = match_.route->options.rate;
    if (rate.empty() || shared_.limiter == nullptr)
        return true;
    const auto wait = shared_.limiter->check(rate, request_.client_key);
    if (!wait)
        return true;
    record.rate_limited().add();
    return answered(
        problem(error(errc::rate_limited).with_retry_after(std::chrono::seconds(*wait))));
}

/// application/json, parameters allowed (RFC 9110 8.3.1); no content coding is understood.
bool session::check_media_type() {
    const auto rule = match_.route->options.body;
    if (rule == body_rule::none || (rule == body_rule::optional && !reader_.has_body()))
        return true;
    const auto type = request_.header("Content-Type");
    const auto media = type ? trim_ows(type->substr(0, type->find(';'))) : std::string_view();
    if (request_.header_count("Content-Type") != 1 || !iequals(media, "application/json")) {
        return answered(problem(
            error(errc::unsupported_media_type, "the body must be sent as application/json")));
    }
    const auto coded = [](const field& f) {
        return iequals(f.name, "Content-Encoding") && !iequals(f.value, "identity");
    };
    if (std::any_of(request_.fields.begin(), request_.fields.end(), coded)) {
        return answered(
            problem(error(errc::unsupported_media_type, "Content-Encoding is not supported")));
    }
    return true;
}

}  // namespace insula::http
