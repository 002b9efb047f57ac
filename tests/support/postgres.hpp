// PostgreSQL for integration tests: a throw-away cluster per test program and a fresh database per
// test. Plain libpq; nothing of the product is needed or tested here.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace insula::test {

/// One row as text. NULL is `null_text`.
using row = std::vector<std::string>;
using rows = std::vector<row>;
inline constexpr std::string_view null_text = "<null>";

/// A statement failed; what() is the server's message with its SQLSTATE in front.
class query_failed : public std::runtime_error {
public:
    query_failed(std::string sqlstate, const std::string& message)
        : std::runtime_error(sqlstate + ": " + message), sqlstate_(std::move(sqlstate)) {}
    /// Five characters; empty when the connection itself failed.
    const std::string& sqlstate() const { return sqlstate_; }

private:
    std::string sqlstate_;
};

/// A blocking connection for the test's own questions. One thread at a time.
class sql_connection {
public:
    explicit sql_connection(const std::string& conninfo);
    /// Any number of statements; the rows of the last. Throws query_failed.
    rows query(const std::string& sql);
    /// One statement with text parameters ($1, …); nullopt is NULL. Throws query_failed.
    rows query(const std::string& sql, const std::vector<std::optional<std::string>>& params);
    /// The SQLSTATE the statement ends with, "00000" when it succeeds. Does not throw for a
    /// server's error.
    std::string outcome(const std::string& sql);
    int backend_pid() const;
    PGconn* native() { return connection_.get(); }

private:
    struct closer {
        void operator()(PGconn* connection) const { PQfinish(connection); }
    };
    std::unique_ptr<PGconn, closer> connection_;
};

/// A running PostgreSQL. Made by start() it is ours: it ends, and its files go, with this object or
/// with this process, however the process dies.
class cluster {
public:
    /// A cluster of one's own, for tests that stop or kill the server. Takes about a second.
    /// Throws.
    static std::unique_ptr<cluster> start();
    /// The running one that somebody else keeps.
    cluster(std::string socket_folder, int port);
    cluster(const cluster&) = delete;
    cluster& operator=(const cluster&) = delete;
    ~cluster();

    const std::string& socket_folder() const { return socket_folder_; }
    int port() const { return port_; }
    /// libpq key=value conninfo. Every role may log in without a password.
    std::string conninfo(std::string_view database, std::string_view role) const;
    /// The administrator `postgres`.
    std::string admin_conninfo(std::string_view database = "postgres") const;

    /// SIGKILL to the postmaster (its backends notice and go), as a crash. Own clusters only.
    void kill_server();
    /// Orderly fast shutdown: clients are disconnected with 57P01. Own clusters only.
    void stop_server();
    /// After either of the two; returns when connections are accepted. Own clusters only.
    void start_server();

private:
    cluster() = default;
    std::string read_report();
    void command(std::string_view line);

    std::string socket_folder_;
    int port_ = 0;
    int keeper_pid_ = -1;
    int lifeline_ = -1;  // standard input of the keeper: its end of file is the order to stop
    int reports_ = -1;
};

/// The cluster of this test program, started at the first call; or the one that
/// INSULA_TEST_POSTGRES names as <socket folder>:<port>. Thread-safe.
cluster& shared_cluster();

/// A fresh database with a role prefix of its own (roles are cluster-wide). The end of the object
/// drops the database, connections or not, every role whose name starts with the prefix and every
/// member of
/// `<prefix>_tenant`.
class test_database {
public:
    enum class creation {
        create,
        name_only
    };  // name_only: what is tested creates the database itself
    explicit test_database(creation what = creation::create, cluster& where = shared_cluster());
    test_database(const test_database&) = delete;
    test_database& operator=(const test_database&) = delete;
    ~test_database();

    const std::string& name() const { return name_; }
    /// Such as "it4f1c09ab"; the product's roles are `<prefix>_owner`, `<prefix>_app`, …
    const std::string& role_prefix() const { return prefix_; }
    cluster& home() const { return cluster_; }
    std::string conninfo(std::string_view role) const { return cluster_.conninfo(name_, role); }
    std::string admin_conninfo() const { return cluster_.admin_conninfo(name_); }
    /// As administrator, on one connection kept for this database. Throws query_failed.
    rows query_admin(const std::string& sql);
    rows query_admin(const std::string& sql, const std::vector<std::optional<std::string>>& params);
    /// The single value of a single row, as administrator. Throws when there is not exactly one
    /// row.
    std::string value_admin(const std::string& sql);

private:
    sql_connection& admin();

    cluster& cluster_;
    std::string name_;
    std::string prefix_;
    std::unique_ptr<sql_connection> admin_;
};

/// An empty folder of this test below /tmp, removed at the end of the object. Its path is short
/// enough for sockets.
class temporary_folder {
public:
    temporary_folder();
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder();
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace insula::test
