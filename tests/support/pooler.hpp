// A real PgBouncer in front of the tests' PostgreSQL.
#pragma once

#include "support/postgres.hpp"

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace insula::test {

class pooler {
public:
    /// `mode`: session, transaction or statement. Reads the logins it knows from a file: see
    /// let_in(). `more` are further settings of its [pgbouncer] section. Throws when the program is
    /// missing (Debian: pgbouncer) or does not start.
    explicit pooler(const std::string& mode, cluster& where = shared_cluster(),
                    const std::map<std::string, std::string>& more = {});
    pooler(const pooler&) = delete;
    pooler& operator=(const pooler&) = delete;
    ~pooler();

    /// Logins that it passes on, by every name that begins so: `<prefix>_app`, `<prefix>_cell_0`, …
    void let_in(const std::string& role_prefix, int cells);
    /// Ends at once, every client with it, and starts in another mode.
    void restart(const std::string& mode);
    /// libpq key=value conninfo without user.
    std::string conninfo(std::string_view database) const;
    std::string folder() const { return folder_.path(); }
    /// A command of its administration console, such as SHOW POOLS.
    rows console(const std::string& command) const;
    std::string log() const;

private:
    void start(const std::string& mode);
    void stop();

    cluster& where_;
    std::map<std::string, std::string> more_;
    temporary_folder folder_;
    std::vector<std::string> logins_{"postgres"};
    pid_t pid_ = -1;
};

}  // namespace insula::test
