// The private PostgreSQL of `insula dev`.
//
// Everything here blocks and is for the time before the loops start and after they have ended; the
// start of a new data directory takes about a second, a crash recovery as long as it takes.
//
//     DATA/lock              held (flock) as long as the object lives: one insula per data
//     directory DATA/postgres/cluster  PostgreSQL's own data directory DATA/postgres/socket   the
//     folder of the Unix socket, mode 0700; a link to a private folder below /tmp where
//                            the path is too long for a socket or not reachable for PostgreSQL's
//                            user
//     DATA/postgres/server.log
#pragma once

#include <boost/system/result.hpp>

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace insula::app {

/// Why the private PostgreSQL did not start: sentences for the person at the terminal, with what to
/// do.
struct embedded_postgres_problem {
    std::string sentence;
};

[[noreturn]] inline void throw_exception_from_error(const embedded_postgres_problem& problem,
                                                    const boost::source_location& /*where*/) {
    throw std::runtime_error(problem.sentence);
}

struct embedded_postgres_options {
    std::filesystem::path data_directory;
    /// Called with one line, without its end, about what takes time. May be empty.
    std::function<void(std::string_view)> progress;
    /// The folder with `initdb` and `postgres`. Empty: found below /usr/lib/postgresql and in PATH,
    /// the newest from 15 on, or for an existing cluster the one of its major version.
    std::filesystem::path binaries;
    unsigned connections_max = 120;
    /// How long the server may take to accept connections, crash recovery included.
    std::chrono::seconds start_limit{600};
};

class embedded_postgres {
public:
    /// Makes the cluster and the database `insula` where they are missing, ends a server that a
    /// killed insula left on this data directory, and returns when connections are accepted.
    ///
    /// The server is a child of this process in a session of its own, so that an interrupt from the
    /// terminal does not reach it; it gets an orderly shutdown when the *thread* that called
    /// start() ends, so call it from the main thread. Where SIGINT and SIGTERM are blocked (as for
    /// signal_watch), a pending one ends the wait with a problem. As root the server runs as the
    /// owner of the existing cluster or as user `postgres`.
    static boost::system::result<embedded_postgres, embedded_postgres_problem> start(
        embedded_postgres_options options);

    embedded_postgres(embedded_postgres&&) noexcept;
    embedded_postgres& operator=(embedded_postgres&&) noexcept;
    ~embedded_postgres();  // stops

    /// key=value conninfo of the superuser `postgres` on database `insula`. It needs no password:
    /// the socket's folder is private. Every other role needs its own (scram-sha-256), as in
    /// production.
    const std::string& admin_conninfo() const;
    const std::filesystem::path& socket_folder() const;
    static constexpr int port() { return 5432; }
    pid_t server_pid() const;
    /// False once the server has ended without being told to.
    bool alive() const;
    /// Disconnects all clients, waits for the shutdown and releases the data directory. Idempotent.
    void stop();

private:
    struct state;
    explicit embedded_postgres(std::unique_ptr<state> made);
    std::unique_ptr<state> state_;
};

}  // namespace insula::app
