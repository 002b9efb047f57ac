#include "http/session.hpp"

#include "http/refusal.hpp"
#include "http/request_id.hpp"
#include "http/target.hpp"

#include "insula/http/problem.hpp"
#include "insula/observe/log.hpp"

#include <boost/asio/error.hpp>

#include <array>
#include <exception>

namespace insula::http {
namespace {

using runtime::deadline;

/// Below this size header and body travel in one buffer: copying is cheaper than a second one.
constexpr std::size_t joined_body_max = 16 * 1024;
constexpr std::size_t kept_output_max = 32 * 1024;
constexpr std::size_t lingered_bytes_max = 1024 * 1024;

/// A request inside a handler, counted against in_flight_max.
class in_flight_mark {
public:
    explicit in_flight_mark(load& l) noexcept : load_(l) {
        load_.in_flight.fetch_add(1, std::memory_order_relaxed);
    }
    ~in_flight_mark() { load_.in_flight.fetch_sub(1, std::memory_order_relaxed); }
    in_flight_mark(const in_flight_mark&) = delete;
    in_flight_mark& operator=(const in_flight_mark&) = delete;

private:
    load& load_;
};

}  // namespace

session::session(shared_state& shared, runtime::stream stream)
    : shared_(shared), stream_(std::move(stream)), reader_(shared.options.limits) {
    request_.peer = stream_.remote_endpoint();
    peer_address_ = ip_address::parse(request_.peer.host());
}

void session::stop() noexcept {
    stopping_ = true;
    if (waiting_idle_)
        stream_.expires_at({steady::time_point::min()});
}

runtime::awaitable<void> session::run() {
    while (!closing_) {
        switch (co_await receive()) {
            case outcome::message:
                co_await answer();
                break;
            case outcome::refused:
                co_await answer_refusal();
                break;
            case outcome::gone:
                closing_ = true;
                break;
        }
    }
    co_await linger();
    co_await stream_.close();
}

runtime::awaitable<void> session::turn_away() {
    make_request_id(request_id_);
    request_.request_id = request_id_;
    closing_ = refused_ = true;
    started_ = steady::now();
    find_client();
    request_.method = method::other;
    match_.index = shared_.target.route_count();
    co_await send(problem(error(errc::overloaded, "too many connections")));
    co_await linger();
    co_await stream_.close();
}

/// Until a message is complete, refused, or nobody is there any more.
runtime::awaitable<session::outcome> session::receive() {
    while (true) {
        switch (reader_.advance()) {
            case request_reader::step::head:
                begin_request();
                if (early_ && reader_.expects_continue() && reader_.has_body()) {
                    // The client has not sent the body yet and need not: what follows cannot be
                    // told from a body.
                    closing_ = refused_ = true;
                    co_return outcome::message;
                }
                reader_.accept_body(body_bytes_max(), !early_);
                if (reader_.in_body() && reader_.expects_continue() && !reader_.has_leftover() &&
                    !co_await send_continue()) {
                    co_return outcome::gone;
                }
                break;
            case request_reader::step::message:
                co_return outcome::message;
            case request_reader::step::refused:
                co_return outcome::refused;
            case request_reader::step::need_more:
                if (!co_await fill())
                    co_return refused_ ? outcome::refused : outcome::gone;
                break;
        }
    }
}

/// Receives once. False: the connection is over, or refused_ says that the wait for the rest was.
runtime::awaitable<bool> session::fill() {
    const auto until = receive_deadline();
    if (waiting_idle_ && stopping_)
        co_return false;
    stream_.expires_at(until);
    const auto got = co_await stream_.read_some(reader_.prepare());
    const bool idle = std::exchange(waiting_idle_, false);
    if (got) {
        reader_.commit(*got);
        co_return true;
    }
    if (idle) {
        if (got.error() == boost::asio::error::timed_out && !stopping_)
            shared_.record.idle_closed().add();
        co_return false;
    }
    refused_ =
        got.error() == boost::asio::error::timed_out || got.error() == boost::asio::error::eof;
    timed_out_ = got.error() == boost::asio::error::timed_out;
    co_return false;
}

/// Each phase has its own limit, started once: slow trickles do not prolong it.
deadline session::receive_deadline() {
    const auto& l = shared_.options.limits;
    waiting_idle_ = reader_.idle();
    if (waiting_idle_)
        return deadline::after(l.idle_timeout);
    const auto phase = reader_.in_body() ? waiting_for::body : waiting_for::header;
    if (phase != waiting_for_) {
        waiting_for_ = phase;
        phase_deadline_ =
            deadline::after(phase == waiting_for::body ? l.body_timeout : l.header_timeout);
    }
    return phase_deadline_;
}

runtime::awaitable<bool> session::send_continue() {
    static constexpr std::string_view line = "HTTP/1.1 100 Continue\r\n\r\n";
    stream_.expires_at(deadline::after(shared_.options.limits.write_timeout));
    co_return (co_await stream_.write(boost::asio::buffer(line))).has_value();
}

/// The header is there: what is asked, by whom, and whether it has to be refused before the body is
/// read.
void session::begin_request() {
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
    early_ = route();
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

/// Everything that can be said without the body. An answer here means that the handler is not
/// called.
std::optional<response> session::route() {
    const auto target = split(request_.target, request_.method == method::options);
    if (target.form == target_form::malformed) {
        closing_ = refused_ = true;
        shared_.record.refused(refusal::malformed);
        return problem(error(errc::malformed_request, "the request target is malformed"));
    }
    if (target.form == target_form::asterisk) {
        return response::no_content().set("Allow", "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
    }
    switch (canonical_path(target.path, path_, request_.path)) {
        case path_verdict::malformed:
            return problem(error(errc::malformed_request, "the path is malformed"));
        case path_verdict::names_nothing:
            return problem(errc::not_found);
        case path_verdict::ok:
            break;
    }
    if (auto answer = find_route())
        return answer;
    if (auto answer = check_load())
        return answer;
    if (auto answer = check_media_type())
        return answer;
    if (const auto parsed = request_.query.parse(target.query); !parsed)
        return problem(parsed.error());
    return std::nullopt;
}

std::optional<response> session::find_route() {
    const auto none = match_.index;
    match_ = shared_.target.match(request_.method, request_.path);
    if (match_.route != nullptr) {
        request_.params = match_.params;
        return std::nullopt;
    }
    match_.index = none;
    if (match_.allow.empty())
        return problem(errc::not_found);
    if (request_.method == method::options) {
        cors_preflight_ = shared_.origins.preflight(request_, match_.allow);
        return response::no_content().set("Allow", match_.allow);
    }
    return std::move(problem(errc::method_not_allowed).set("Allow", match_.allow));
}

std::optional<response> session::check_load() {
    auto& record = shared_.record;
    if (record.now()->in_flight.load(std::memory_order_relaxed) >=
        shared_.options.limits.in_flight_max) {
        record.requests_refused().add();
        return problem(errc::overloaded);
    }
    const auto rate = match_.route->options.rate;
    if (rate.empty() || shared_.limiter == nullptr)
        return std::nullopt;
    const auto wait = shared_.limiter->check(rate, request_.client_key);
    if (!wait)
        return std::nullopt;
    record.rate_limited().add();
    return problem(error(errc::rate_limited).with_retry_after(std::chrono::seconds(*wait)));
}

/// application/json, parameters allowed (RFC 9110 8.3.1); no content coding is understood.
std::optional<response> session::check_media_type() const {
    const auto rule = match_.route->options.body;
    if (rule == body_rule::none || (rule == body_rule::optional && !reader_.has_body()))
        return std::nullopt;
    const auto type = request_.header("Content-Type");
    const auto media = type ? trim_ows(type->substr(0, type->find(';'))) : std::string_view();
    if (request_.header_count("Content-Type") != 1 || !iequals(media, "application/json")) {
        return problem(
            error(errc::unsupported_media_type, "the body must be sent as application/json"));
    }
    const auto coding = request_.header("Content-Encoding");
    if (coding && !iequals(*coding, "identity")) {
        return problem(error(errc::unsupported_media_type, "Content-Encoding is not supported"));
    }
    return std::nullopt;
}

runtime::awaitable<void> session::answer() {
    request_.body = early_ ? std::string_view() : reader_.body();
    if (early_) {
        response r = std::move(*early_);
        early_.reset();
        co_await send(std::move(r));
    } else {
        co_await send(co_await serve_guarded());
    }
    has_head_ = false;
    waiting_for_ = waiting_for::nothing;
    if (!closing_)
        reader_.next();
}

/// The one place where a failure of any kind becomes an answer.
runtime::awaitable<response> session::serve_guarded() {
    const in_flight_mark mark(*shared_.record.now());
    errc code = errc::internal;
    std::string what;
    try {
        auto outcome = co_await shared_.target.serve(request_, *match_.route);
        if (outcome)
            co_return std::move(*outcome);
        if (!outcome.error().internal().empty()) {
            observe::warn("request failed", {{"route", match_.route->pattern},
                                             {"request_id", request_.request_id},
                                             {"error", outcome.error()}});
        }
        co_return problem(outcome.error());
    } catch (const infrastructure_error& e) {
        code = errc::overloaded;
        what = e.what();
    } catch (const std::exception& e) {
        what = e.what();
    } catch (...) {
        what = "an exception of unknown type";
    }
    observe::error("request ended by an exception", {{"route", match_.route->pattern},
                                                     {"request_id", request_.request_id},
                                                     {"code", code},
                                                     {"what", what}});
    co_return problem(code);
}

runtime::awaitable<void> session::answer_refusal() {
    const auto why = timed_out_                       ? refusal::timeout
                     : reader_.why() == refusal::none ? refusal::malformed
                                                      : reader_.why();
    shared_.record.refused(why);
    closing_ = refused_ = true;
    if (!has_head_) {
        // No header that could be believed: nothing of it is repeated.
        request_.fields = {};
        request_.method = method::other;
        match_ = {};
        match_.index = shared_.target.route_count();
        make_request_id(request_id_);
        request_.request_id = request_id_;
        cors_preflight_.clear();
        find_client();
        started_ = steady::now();
    }
    co_await send(make_refusal(why, request_.request_id));
}

bool session::must_close(const response& r) const {
    return closing_ || stopping_ || r.closes() || !reader_.keep_alive() ||
           shared_.draining.load(std::memory_order_relaxed) ||
           served_ + 1 >= shared_.options.limits.requests_per_connection_max;
}

/// Writes the whole response within the write limit; a reader that is slower loses the connection.
runtime::awaitable<void> session::send(response r) {
    closing_ = closing_ || must_close(r);
    ++served_;
    const bool http10 = has_head_ && !reader_.http11();
    const answer_context context{request_.request_id,
                                 shared_.origins.fields(request_.header("Origin")), closing_,
                                 http10, request_.method == method::head};
    out_.clear();
    write_head(out_, r, context);
    if (!cors_preflight_.empty())
        out_.insert(out_.size() - 2, cors_preflight_);
    auto body = body_to_send(r, context);
    if (body.size() <= joined_body_max) {
        out_.append(body);
        body = {};
    }
    stream_.expires_at(deadline::after(shared_.options.limits.write_timeout));
    const std::array<boost::asio::const_buffer, 2> parts{
        boost::asio::buffer(out_), boost::asio::const_buffer(body.data(), body.size())};
    const auto sent = co_await stream_.write(std::span(parts).first(body.empty() ? 1 : 2));
    if (!sent) {
        closing_ = true;
        refused_ = false;  // nobody reads: no reason to linger
        shared_.record.slow_readers().add();
    }
    finish(r);
    if (out_.capacity() > kept_output_max)
        out_ = std::string();
}

void session::finish(const response& r) {
    const auto took = steady::now() - started_;
    shared_.record.answered(match_.index, r.status(), took);
    if (shared_.options.log_requests || r.status() >= 500)
        log_request(r, took);
}

void session::log_request(const response& r, std::chrono::nanoseconds took) const {
    if (!observe::log_enabled(observe::log_level::info))
        return;
    // A path that met no route may be a mistyped one with a secret in it: only patterns and
    // harmless paths are logged.
    const auto* route = match_.route;
    const auto pattern = route != nullptr ? route->pattern : std::string_view("none");
    const auto path = route != nullptr && !route->options.redact_path ? request_.path : pattern;
    observe::info("request",
                  {{"server", shared_.options.name},
                   {"method", name(request_.method)},
                   {"route", pattern},
                   {"path", path},
                   {"status", r.status()},
                   {"duration_ms", std::chrono::duration<double, std::milli>(took).count()},
                   {"request_id", request_.request_id},
                   {"client", request_.client},
                   {"traceparent", request_.traceparent}});
}

/// After a refusal the client may still be sending: closing at once would reset the connection and
/// take our answer with it. So say that we are done, and read a while without looking.
runtime::awaitable<void> session::linger() {
    if (!refused_ && !reader_.has_leftover())
        co_return;
    stream_.shutdown_write();
    stream_.expires_at(deadline::after(shared_.options.limits.linger_timeout));
    std::array<char, 4096> sink;
    std::size_t total = 0;
    while (total < lingered_bytes_max) {
        const auto got = co_await stream_.read_some(boost::asio::buffer(sink));
        if (!got)
            co_return;
        total += *got;
    }
}

}  // namespace insula::http
