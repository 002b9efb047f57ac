#include "pg/detail/connect_machine.hpp"

#include <fmt/format.h>

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
    if (*answered != claimed) {
        return fail(
            sqlstate::pooler_between,
            fmt::format("a connection pooler stands between us and PostgreSQL (the start-up "
                        "named backend {}, the query ran in {}): it may hand a tenant's "
                        "session to another and supports neither prepared statements nor "
                        "LISTEN; connect to PostgreSQL directly or use session pooling",
                        claimed, *answered));
    }
    return ask(what::ready);
}

}  // namespace insula::pg::detail
