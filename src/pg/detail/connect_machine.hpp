#pragma once
#include "insula/pg/error.hpp"

#include <optional>
#include <string>
#include <vector>

namespace insula::pg::detail {

/// What PQconnectPoll answered.
enum class poll_answer { reading, writing, ok, failed };

/// What the shell around the machine has to do next.
struct connect_step {
    enum class what {
        look_up,    ///< resolve host names on the CPU pool, then looked_up()
        start,      ///< PQconnectStartParams, then started()
        wait_read,  ///< wait for the socket, then waited()
        wait_write,
        poll,     ///< PQconnectPoll with no wait pending (it may close the socket), then polled()
        set_up,   ///< non-blocking, pipeline mode, notice receiver, then set_up()
        probe,    ///< the first unit: which backend answers? then probed()
        compare,  ///< a pooler: which backends answer here and on a second connection? compared()
        settle,   ///< the backend stays ours: the session's settings, then settled()
        ready,
        failed,  ///< `error` says why; release the socket, PQfinish
    };
    what next;
    int socket = -1;  ///< for the waits: PQsocket as of now, it may differ from the last one
    pg_error error{};
};

/// Which backends answered on two connections that are open at the same time, asked in turns.
struct backends_seen {
    std::vector<int> here;
    std::vector<int> there;
    std::optional<pg_error> failure{};  ///< somebody did not answer
};
/// Turns that are taken. One tells as a rule: a pooler gives the backend that is free to whoever
/// asks next. More are for poolers that go round, and for others' traffic in between.
inline constexpr int compare_turns = 8;

/// The order of a libpq connection attempt without its I/O (PostgreSQL manual 34.1,
/// "PQconnectStartParams"). One event per step asked for; an event nobody asked for is a bug
/// (assert).
class connect_machine {
public:
    connect_step begin(bool needs_look_up);
    connect_step looked_up(bool found, std::string message);
    connect_step started(bool accepted, int socket, std::string message);
    connect_step waited(bool in_time);
    /// Instead of waited(false): another attempt has begun, at the next address.
    connect_step started_over(bool accepted, int socket, std::string message);
    connect_step polled(poll_answer answer, int socket, std::string message);
    connect_step set_up(bool accepted, std::string message);
    /// `claimed`: PQbackendPID, what the start-up told; `answered`: pg_backend_pid(), nothing if
    /// the query failed.
    connect_step probed(int claimed, std::optional<int> answered, pg_error failure);
    /// Who answered, in turns: here, and on a second connection to the same pooler.
    connect_step compared(const backends_seen& seen);
    connect_step settled(std::optional<pg_error> failure);

private:
    connect_step ask(connect_step::what next, int socket = -1);
    connect_step fail(sqlstate state, std::string message);
    void expect(connect_step::what asked) const;

    connect_step::what asked_ = connect_step::what::failed;
    bool begun_ = false;
};

}  // namespace insula::pg::detail
