// Files of the private PostgreSQL: the lock on the data directory, its folders, PostgreSQL's
// programs, the log.
#pragma once

#include "app/embedded_postgres_process.hpp"

#include "insula/app/embedded_postgres.hpp"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace insula::app::detail {

template <class T>
using expected = boost::system::result<T, embedded_postgres_problem>;

/// A descriptor that closes itself.
class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int number) : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~descriptor();
    int get() const { return number_; }

private:
    int number_ = -1;
};

/// "what: the reason errno gives".
embedded_postgres_problem system_problem(const std::string& what);

/// The folder, made where missing with what is above it. Absolute, without links.
expected<std::filesystem::path> data_folder(const std::filesystem::path& wanted);

/// The exclusive lock DATA/lock, or who holds it.
expected<descriptor> lock_data_folder(const std::filesystem::path& data);

struct installation {
    std::filesystem::path folder;
    int major = 0;
};
/// Every PostgreSQL found, newest first; only the given folder when there is one.
std::vector<installation> installations(const std::filesystem::path& given);

/// The installation for this cluster; for one that does not exist yet, the newest.
expected<installation> choose_installation(const std::filesystem::path& cluster,
                                           const std::filesystem::path& given);

/// As whom the server runs: nobody else, unless we are root.
expected<surroundings> choose_account(const std::filesystem::path& cluster);

/// The folder for the socket: DATA/postgres/socket, or a private one below /tmp with a link to it
/// there.
expected<std::filesystem::path> socket_folder(const std::filesystem::path& postgres,
                                              const surroundings& how);
/// Removes a private folder below /tmp that socket_folder() made; leaves one below the data
/// directory.
void remove_private_socket_folder(const std::filesystem::path& postgres);

/// The log for appending; the old one is set aside when it has grown.
expected<descriptor> open_log(const std::filesystem::path& log);
/// The last lines the server wrote since the offset, on lines of their own; empty when there are
/// none.
std::string log_tail(const std::filesystem::path& log, std::uintmax_t offset);

}  // namespace insula::app::detail
