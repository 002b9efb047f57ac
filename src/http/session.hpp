#pragma once
// One connection: receives, decides, calls the service, answers; one request at a time, in order.

#include "http/answer.hpp"
#include "http/cors.hpp"
#include "http/reader.hpp"
#include "http/recorder.hpp"

#include "insula/http/problem.hpp"
#include "insula/http/server.hpp"
#include "insula/observe/trace.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/stream.hpp"
#include "insula/runtime/timer.hpp"

#include <boost/intrusive/list.hpp>

#include <array>
#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace insula::http {

/// What all connections of a server share. Outlives them.
struct shared_state {
    shared_state(service& s, server_options o, observe::metrics& m, rate_limiter* l)
        : options(std::move(o)),
          target(s),
          limiter(l),
          origins(options.cors_origins),
          record(s, options.name, options.limits, m) {}

    server_options options;
    service& target;
    rate_limiter* limiter;
    cors origins;
    recorder record;
    std::atomic<bool> draining{false};
};

struct all_tag;
struct waiting_tag;
template <class Tag>
using auto_hook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<Tag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

struct crowd;
struct waiting_sessions;

class session : public auto_hook<all_tag>, public auto_hook<waiting_tag> {
public:
    /// One to be turned away.
    session(shared_state& shared, runtime::stream stream);
    /// One that has a place in the crowd of its loop, which outlives it.
    session(shared_state& shared, runtime::stream stream, place mine, crowd& others);
    session(const session&) = delete;
    session& operator=(const session&) = delete;
    ~session() { end_waiting(); }

    /// Serves until the client or a rule ends the connection, then closes it in good order.
    runtime::awaitable<void> run();
    /// Only the answer that there is no room (503), then the end.
    runtime::awaitable<void> turn_away();

    /// An idle connection ends now, a busy one after its response. The loop's thread.
    void stop() noexcept;
    /// Ends a session that waits (is in one of the crowd's waiting lists), for its place.
    place give_place() noexcept;
    /// When it was accepted, until the first request begins.
    runtime::steady_clock::time_point since() const noexcept { return started_; }

private:
    /// What the octets that have arrived amount to.
    enum class next : std::uint8_t { octets, say_continue, message, refused, gone };
    enum class waiting_for : std::uint8_t { nothing, header, body };
    using steady = runtime::steady_clock;

    void begin_waiting(waiting_sessions& among);
    void end_waiting() noexcept;
    next look();
    bool count_body();
    bool begin_receive();
    next received(const boost::system::result<std::size_t>& got);
    runtime::awaitable<void> serve_guarded();
    runtime::awaitable<next> send_continue();
    runtime::awaitable<void> linger();

    response refusal_answer();
    std::span<const boost::asio::const_buffer> begin_send();
    void sent(bool all);
    void end_request();
    runtime::deadline within(std::chrono::nanoseconds span) const noexcept;
    runtime::deadline receive_deadline();
    void begin_request();
    void name_request();
    void find_client();
    ip_address forwarded_client() const;
    void continue_trace();
    /// False: answer_ says why.
    bool route();
    bool find_route();
    bool check_media_type();
    bool check_load();
    bool answered(response r);
    response problem(const error& e) const { return make_problem(e, request_.request_id); }
    std::size_t body_bytes_max() const noexcept;
    void log_request(std::chrono::nanoseconds took) const;
    bool must_close() const;

    shared_state& shared_;
    runtime::stream stream_;
    std::optional<place> place_;
    crowd* crowd_ = nullptr;
    waiting_sessions* among_ = nullptr;  // where it is counted, while it waits
    request_reader reader_;
    share body_share_{shared_.record.now()->body_bytes};
    request request_;
    route_match match_;
    // Of this request, from when it is decided (before the body is read, when the handler will not
    // be called) until it has been sent.
    std::optional<response> answer_;
    std::string cors_preflight_;
    std::string request_id_;
    std::string path_;
    std::string trace_;
    std::string client_;
    std::string client_key_;
    std::string out_;
    std::array<boost::asio::const_buffer, 2> to_send_;
    std::optional<ip_address> peer_address_;
    runtime::deadline phase_deadline_;
    steady::time_point started_;
    std::size_t served_ = 0;
    waiting_for waiting_for_ = waiting_for::nothing;
    bool waiting_idle_ = false;
    bool has_head_ = false;  // reader_ holds a header that was believed
    bool timed_out_ = false;
    bool stopping_ = false;
    bool closing_ = false;
    bool evicted_ = false;
    bool refused_ = false;  // the client may still be sending
};

template <class Tag>
using session_list = boost::intrusive::list<session, boost::intrusive::base_hook<auto_hook<Tag>>,
                                            boost::intrusive::constant_time_size<false>>;

/// Those that may be closed for their place, longest first.
struct waiting_sessions {
    session_list<waiting_tag> list;
    std::size_t size = 0;
};

/// The sessions of one loop; its thread.
struct crowd {
    explicit crowd(runtime::loop& home) : home_(home), next_(home), next_turn_(home) {}

    session_list<all_tag> all;
    waiting_sessions fresh;  // those that never sent a whole header
    waiting_sessions kept;   // those that wait for another request, or for the rest of its header

    /// Closes a connection that waits and gives its place; nullopt when all are at work. Best one
    /// that never asked anything for a second; of those that have only just come and those that
    /// have asked before, one of the more numerous, so that neither can drive the other out.
    std::optional<place> make_room() noexcept;

    /// Before a request that was pipelined behind another: only a few of all connections are taken
    /// each time the loop looks at the kernel, so that whoever sends many requests at once does not
    /// keep those waiting who send one.
    runtime::awaitable<void> pipelined_turn();

private:
    bool take_turn() noexcept;
    void pass_on() noexcept;

    runtime::loop& home_;
    runtime::event next_;
    runtime::timer next_turn_;
    std::uint64_t turn_ = 0;
    unsigned left_ = 0;
    std::size_t waiting_ = 0;
    bool pumped_ = false;  // one of those that wait will wake others in the next turn
};

}  // namespace insula::http
