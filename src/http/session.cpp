#include "http/session.hpp"

#include "http/refusal.hpp"
#include "http/request_id.hpp"

#include "insula/core/uuid.hpp"
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

/// The pattern with the ids that the path has: we made those. Any other text in a path is
/// somebody's, such as a slug, or a secret in the wrong place, and none of the log's business
/// (G04).
std::string with_ids(std::string_view pattern, const request& r) {
    std::string path;
    for (std::size_t i = 0; i < path_params_max; ++i) {
        const auto open = pattern.find('{');
        if (open == std::string_view::npos)
            break;
        const auto end = pattern.find('}', open) + 1;
        path += pattern.substr(0, open);
        path += uuid::parse(r.params[i]) ? r.params[i] : pattern.substr(open, end - open);
        pattern.remove_prefix(end);
    }
    return path.append(pattern);
}

}  // namespace

session::session(shared_state& shared, runtime::stream stream)
    : shared_(shared), stream_(std::move(stream)), reader_(shared.options.limits) {
    request_.peer = stream_.remote_endpoint();
    peer_address_ = ip_address::parse(request_.peer.host());
}

session::session(shared_state& shared, runtime::stream stream, place mine, crowd& others)
    : session(shared, std::move(stream)) {
    place_ = std::move(mine);
    crowd_ = &others;
    started_ = steady::now();
    others.all.push_back(*this);
    begin_waiting(others.fresh);
}

place session::give_place() noexcept {
    end_waiting();
    evicted_ = true;
    shared_.record.evicted().add();
    stream_.expires_at({steady::now()});
    place given = std::move(*place_);
    place_.reset();
    return given;
}

void session::begin_waiting(waiting_sessions& among) {
    among.list.push_back(*this);
    ++among.size;
    among_ = &among;
}

void session::end_waiting() noexcept {
    if (!auto_hook<waiting_tag>::is_linked())
        return;
    auto_hook<waiting_tag>::unlink();
    --among_->size;
}

void session::stop() noexcept {
    stopping_ = true;
    if (waiting_idle_)
        stream_.expires_at({steady::now()});
}

/// One frame for all that every request needs; what only some need are coroutines of their own.
runtime::awaitable<void> session::run() {
    while (!closing_) {
        if (crowd_ != nullptr && reader_.has_leftover())
            co_await crowd_->pipelined_turn();
        auto now = look();
        while (now == next::octets || now == next::say_continue) {
            if (now == next::say_continue) {
                now = co_await send_continue();
            } else if (!begin_receive()) {
                now = next::gone;
            } else {
                now = received(co_await stream_.read_some(reader_.prepare()));
            }
        }
        if (now == next::gone)
            break;
        if (now == next::refused) {
            answer_ = refusal_answer();
        } else {
            request_.body = answer_ ? std::string_view() : reader_.body();
            if (!answer_)
                co_await serve_guarded();
        }
        sent((co_await stream_.write(begin_send())).has_value());
        if (now == next::message)
            end_request();
    }
    closing_ = true;
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
    answer_ = problem(error(errc::overloaded, "too many connections"));
    sent((co_await stream_.write(begin_send())).has_value());
    co_await linger();
    co_await stream_.close();
}

session::next session::look() {
    while (true) {
        switch (reader_.advance()) {
            case request_reader::step::head:
                begin_request();
                if (answer_ && reader_.expects_continue() && reader_.has_body()) {
                    // The client has not sent the body yet and need not: what follows cannot be
                    // told from a body.
                    closing_ = refused_ = true;
                    return next::message;
                }
                reader_.accept_body(body_bytes_max(), !answer_);
                if (reader_.in_body() && reader_.expects_continue() && !reader_.has_leftover())
                    return next::say_continue;
                break;
            case request_reader::step::message:
                // What came last counts as well: it is held for as long as the handler runs.
                if (count_body())
                    return next::message;
                break;
            case request_reader::step::refused:
                return next::refused;
            case request_reader::step::need_more:
                if (count_body())
                    return next::octets;
                break;
        }
    }
}

/// False: there is no room for so much of a body, and it has been refused.
bool session::count_body() {
    if (body_share_.resize(reader_.extra_bytes(), shared_.options.limits.bodies_bytes_max))
        return true;
    reader_.refuse_body(refusal::no_room);
    return false;
}

/// False: the server stops and nothing has begun.
bool session::begin_receive() {
    const auto until = receive_deadline();
    if (waiting_idle_ && stopping_)
        return false;
    // Whoever has sent half a header holds a place no more firmly than who has sent nothing.
    const bool waits = waiting_idle_ || waiting_for_ == waiting_for::header;
    if (waits && crowd_ != nullptr && served_ > 0 && !auto_hook<waiting_tag>::is_linked())
        begin_waiting(crowd_->kept);
    stream_.expires_at(until);
    return true;
}

session::next session::received(const boost::system::result<std::size_t>& got) {
    const bool idle = std::exchange(waiting_idle_, false);
    if (evicted_)
        return next::gone;  // whatever came: the place is another's
    if (got) {
        reader_.commit(*got);
        return look();
    }
    timed_out_ = got.error() == boost::asio::error::timed_out;
    if (idle) {
        if (timed_out_ && !stopping_)
            shared_.record.idle_closed().add();
        return next::gone;
    }
    refused_ = timed_out_ || got.error() == boost::asio::error::eof;
    return refused_ ? next::refused : next::gone;
}

/// As of this turn of the loop: a limit of seconds may be early by the length of a turn.
deadline session::within(std::chrono::nanoseconds span) const noexcept {
    const auto now = stream_.get_executor().owner().now();
    return span < steady::time_point::max() - now ? deadline{now + span} : deadline::never();
}

/// Each phase has its own limit, started once: slow trickles do not prolong it.
deadline session::receive_deadline() {
    const auto& l = shared_.options.limits;
    waiting_idle_ = reader_.idle();
    if (waiting_idle_)
        return within(l.idle_timeout);
    const auto phase = reader_.in_body() ? waiting_for::body : waiting_for::header;
    if (phase != waiting_for_) {
        waiting_for_ = phase;
        phase_deadline_ = within(phase == waiting_for::body ? l.body_timeout : l.header_timeout);
    }
    return phase_deadline_;
}

runtime::awaitable<session::next> session::send_continue() {
    static constexpr std::string_view line = "HTTP/1.1 100 Continue\r\n\r\n";
    stream_.expires_at(within(shared_.options.limits.write_timeout));
    const auto said = co_await stream_.write(boost::asio::buffer(line));
    co_return said ? next::octets : next::gone;
}

/// The one place where a failure of any kind becomes an answer.
runtime::awaitable<void> session::serve_guarded() {
    const auto inside =
        place::take(shared_.record.now()->in_flight, shared_.options.limits.in_flight_max);
    if (!inside) {
        shared_.record.requests_refused().add();
        answer_ = problem(errc::overloaded);
        co_return;
    }
    errc code = errc::internal;
    std::string what;
    try {
        auto outcome = co_await shared_.target.serve(request_, *match_.route);
        if (outcome) {
            answer_ = std::move(*outcome);
            co_return;
        }
        if (!outcome.error().internal().empty()) {
            observe::warn("request failed", {{"route", match_.route->pattern},
                                             {"request_id", request_.request_id},
                                             {"error", outcome.error()}});
        }
        answer_ = problem(outcome.error());
        co_return;
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
    answer_ = problem(code);
}

response session::refusal_answer() {
    const auto why = timed_out_                       ? refusal::timeout
                     : reader_.why() == refusal::none ? refusal::malformed
                                                      : reader_.why();
    shared_.record.refused(why);
    (void)body_share_.resize(reader_.extra_bytes(), shared_.options.limits.bodies_bytes_max);
    end_waiting();
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
    return make_refusal(why, request_.request_id);
}

bool session::must_close() const {
    return closing_ || stopping_ || answer_->closes() || !reader_.keep_alive() ||
           shared_.draining.load(std::memory_order_relaxed) ||
           served_ + 1 >= shared_.options.limits.requests_per_connection_max;
}

/// Puts the whole response together, to be written within the write limit.
std::span<const boost::asio::const_buffer> session::begin_send() {
    closing_ = must_close();
    ++served_;
    const bool http10 = has_head_ && !reader_.http11();
    const answer_context context{request_.request_id,
                                 shared_.origins.fields(request_.header("Origin")), closing_,
                                 http10, request_.method == method::head};
    out_.clear();
    write_head(out_, *answer_, context);
    if (!cors_preflight_.empty())
        out_.insert(out_.size() - 2, cors_preflight_);
    auto body = body_to_send(*answer_, context);
    if (body.size() <= joined_body_max) {
        out_.append(body);
        body = {};
    }
    stream_.expires_at(within(shared_.options.limits.write_timeout));
    to_send_ = {boost::asio::buffer(out_), boost::asio::const_buffer(body.data(), body.size())};
    return std::span(to_send_).first(body.empty() ? 1 : 2);
}

/// A reader that is slower than the limit loses the connection.
void session::sent(bool all) {
    if (!all) {
        closing_ = true;
        refused_ = false;  // nobody reads: no reason to linger
        shared_.record.slow_readers().add();
    }
    const auto took = steady::now() - started_;
    shared_.record.answered(match_.index, answer_->status(), took);
    if (shared_.options.log_requests || answer_->status() >= 500)
        log_request(took);
    if (out_.capacity() > kept_output_max)
        release(out_);
    answer_.reset();
}

void session::end_request() {
    has_head_ = false;
    waiting_for_ = waiting_for::nothing;
    if (!closing_)
        reader_.next();
    (void)body_share_.resize(reader_.extra_bytes(), shared_.options.limits.bodies_bytes_max);
}

void session::log_request(std::chrono::nanoseconds took) const {
    if (!observe::log_enabled(observe::log_level::info))
        return;
    // A path that met no route may be a mistyped one with a secret in it: only patterns and
    // harmless paths are logged.
    const auto* route = match_.route;
    const auto pattern = route != nullptr ? route->pattern : std::string_view("none");
    const auto path = route != nullptr && !route->options.redact_path ? with_ids(pattern, request_)
                                                                      : std::string(pattern);
    observe::info("request",
                  {{"server", shared_.options.name},
                   {"method", name(request_.method)},
                   {"route", pattern},
                   {"path", path},
                   {"status", answer_->status()},
                   {"duration_ms", std::chrono::duration<double, std::milli>(took).count()},
                   {"request_id", request_.request_id},
                   {"client", request_.client},
                   {request_.traceparent.empty() ? "" : "traceparent", request_.traceparent}});
}

/// After a refusal the client may still be sending: closing at once would reset the connection and
/// take our answer with it. So say that we are done, and read a while without looking.
runtime::awaitable<void> session::linger() {
    if (evicted_ || (!refused_ && !reader_.has_leftover()))
        co_return;
    stream_.shutdown_write();
    stream_.expires_at(within(shared_.options.limits.linger_timeout));
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
