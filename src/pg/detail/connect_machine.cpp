#include "pg/detail/connect_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace insula::pg::detail {

using what = connect_step::what;

connect_step connect_machine::ask(what next, int socket) {
    asked_ = next;
    return {.next = next, .socket = socket};
}

connect_step connect_machine::fail(sqlstate state, std::string message) {
    asked_ = what::failed;
    while (!message.empty() && message.back() == '\n') {
        message.pop_back();
    }
    connect_step step{.next = what::failed};
    step.error.state = state;
    step.error.message = std::move(message);
    return step;
}

void connect_machine::expect(what asked) const {
    if (asked_ != asked) {
        throw std::logic_error("connect_machine: an event that nobody asked for");
    }
}

connect_step connect_machine::begin(bool needs_look_up) {
    if (begun_) {
        throw std::logic_error("connect_machine: one attempt per machine");
    }
    begun_ = true;
    return ask(needs_look_up ? what::look_up : what::start);
}

connect_step connect_machine::looked_up(bool found, std::string message) {
    expect(what::look_up);
    return found ? ask(what::start) : fail(sqlstate::unable_to_connect, std::move(message));
}

connect_step connect_machine::started(bool accepted, int socket, std::string message) {
    expect(what::start);
    if (!accepted || socket < 0) {
        return fail(sqlstate::unable_to_connect, std::move(message));
    }
    // The manual: after the start behave as if PQconnectPoll had last answered "writing".
    return ask(what::wait_write, socket);
}

connect_step connect_machine::waited(bool in_time) {
    if (asked_ != what::wait_read) {
        expect(what::wait_write);
    }
    return in_time ? ask(what::poll)
                   : fail(sqlstate::unable_to_connect, "no answer within the connect timeout");
}

connect_step connect_machine::started_over(bool accepted, int socket, std::string message) {
    if (asked_ != what::wait_read) {
        expect(what::wait_write);
    }
    asked_ = what::start;
    return started(accepted, socket, std::move(message));
}

connect_step connect_machine::polled(poll_answer answer, int socket, std::string message) {
    expect(what::poll);
    if (answer == poll_answer::failed || socket < 0) {
        return fail(sqlstate::unable_to_connect, std::move(message));
    }
    switch (answer) {
        case poll_answer::reading:
            return ask(what::wait_read, socket);
        case poll_answer::writing:
            return ask(what::wait_write, socket);
        default:
            return ask(what::set_up, socket);
    }
}

connect_step connect_machine::set_up(bool accepted, std::string message) {
    expect(what::set_up);
    return accepted ? ask(what::probe) : fail(sqlstate::unable_to_connect, std::move(message));
}

connect_step connect_machine::probed(int claimed, std::optional<int> answered, pg_error failure) {
    expect(what::probe);
    if (!answered) {
        return fail(failure.state, std::move(failure.message));
    }
    // A pooler names a backend that does not exist, so that it hears of cancel requests.
    return ask(*answered == claimed ? what::settle : what::compare);
}

// In session mode a backend belongs to its client until that goes: two clients never share one, and
// neither changes. Whatever else it is, it gives a backend to whoever has something to run.
connect_step connect_machine::compared(const backends_seen& seen) {
    expect(what::compare);
    if (seen.failure) {
        return fail(
            sqlstate::unable_to_connect,
            fmt::format("a connection pooler stands between us and PostgreSQL, and the second "
                        "connection that tells its mode got no answer ({}); its pool needs one "
                        "connection more for each login",
                        seen.failure->message));
    }
    const auto changes = [](const std::vector<int>& pids) {
        return std::ranges::any_of(pids, [&](int pid) { return pid != pids.front(); });
    };
    const bool shared = std::ranges::any_of(
        seen.there, [&](int pid) { return std::ranges::count(seen.here, pid) != 0; });
    if (shared || changes(seen.here) || changes(seen.there)) {
        return fail(
            sqlstate::pooler_between,
            "a connection pooler stands between us and PostgreSQL and gives each transaction "
            "another backend (transaction or statement pooling): it may hand a tenant's "
            "session to another, and supports neither prepared statements nor LISTEN; set "
            "pool_mode = session for this database, or connect to PostgreSQL directly");
    }
    return ask(what::settle);
}

connect_step connect_machine::settled(std::optional<pg_error> failure) {
    expect(what::settle);
    return failure ? fail(failure->state, std::move(failure->message)) : ask(what::ready);
}

}  // namespace insula::pg::detail
