#include "app/embedded_postgres_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

namespace insula::app::detail {

namespace fs = std::filesystem;

namespace {

constexpr int oldest_major = 15;
constexpr std::size_t socket_path_bytes_max = 107;  // sizeof(sockaddr_un::sun_path) - 1
constexpr std::uintmax_t log_bytes_max = 16U << 20U;

// The folder is to be entered by PostgreSQL's user, who is not us when we are root.
mode_t passage_mode() {
    return ::geteuid() == 0 ? 0711 : 0700;
}

/// 0 where none stands.
int leading_number(std::string_view text) {
    int number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

std::optional<int> major_of(const fs::path& folder) {
    if (!fs::exists(folder / "initdb") || !fs::exists(folder / "postgres")) {
        return std::nullopt;
    }
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"; it answers -V even to root.
    const auto answer = run({(folder / "postgres").string(), "-V"}, {});
    const auto at = answer.output.find(") ");
    if (!answer.success || at == std::string::npos) {
        return std::nullopt;
    }
    return leading_number(std::string_view(answer.output).substr(at + 2));
}

void add_path_folders(std::vector<fs::path>& candidates) {
    const char* path = std::getenv("PATH");
    std::istringstream parts(path == nullptr ? "" : path);
    for (std::string part; std::getline(parts, part, ':');) {
        std::error_code missing;
        const auto program = fs::canonical(fs::path(part) / "initdb", missing);
        if (!missing) {
            candidates.push_back(program.parent_path());
        }
    }
}

std::string holder_of(int lock) {
    std::array<char, 32> text{};
    const ssize_t got = ::pread(lock, text.data(), text.size() - 1, 0);
    const int process = leading_number({text.data(), got > 0 ? static_cast<std::size_t>(got) : 0});
    return process > 0 ? fmt::format(" (process {})", process) : std::string{};
}

bool usable_for_socket(const fs::path& folder) {
    const std::string text = folder.string();
    // PostgreSQL's list of folders and libpq's conninfo have quoting of their own; a private folder
    // avoids both.
    return text.size() + std::strlen("/.s.PGSQL.5432") <= socket_path_bytes_max &&
           text.find_first_of(" \t\n,\"'\\") == std::string::npos;
}

bool make_own_folder(const fs::path& folder, const surroundings& how) {
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        return false;
    }
    return !how.runs_as || ::lchown(folder.c_str(), how.runs_as->uid, how.runs_as->gid) == 0;
}

}  // namespace

descriptor::~descriptor() {
    if (number_ >= 0) {
        ::close(number_);
    }
}

embedded_postgres_problem system_problem(const std::string& what) {
    return {fmt::format("{}: {}", what, std::generic_category().message(errno))};
}

expected<fs::path> data_folder(const fs::path& wanted) {
    std::error_code failed;
    const fs::path folder = fs::absolute(wanted, failed).lexically_normal();
    fs::create_directories(folder.parent_path(), failed);
    if (::mkdir(folder.c_str(), passage_mode()) == 0) {
        ::chmod(folder.c_str(), passage_mode());  // whatever the umask is
    } else if (errno != EEXIST) {
        return system_problem(fmt::format("Cannot make the data directory {}", folder.string()));
    }
    const fs::path real = fs::canonical(folder, failed);
    if (failed || !fs::is_directory(real, failed)) {
        return embedded_postgres_problem{fmt::format(
            "The data directory {} is not a folder; choose another one with --data-dir.",
            folder.string())};
    }
    return {boost::system::in_place_value, real};
}

expected<descriptor> lock_data_folder(const fs::path& data) {
    const fs::path file = data / "lock";
    descriptor lock(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock.get() < 0) {
        return system_problem(
            fmt::format("Cannot write in the data directory {} (run as its owner, or choose "
                        "another one with --data-dir)",
                        data.string()));
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return embedded_postgres_problem{fmt::format(
            "The data directory {} is in use by another insula{}; stop that one, or choose another "
            "directory with --data-dir.",
            data.string(), holder_of(lock.get()))};
    }
    const std::string own = fmt::format("{}\n", ::getpid());
    if (::ftruncate(lock.get(), 0) != 0 ||
        ::pwrite(lock.get(), own.data(), own.size(), 0) != static_cast<ssize_t>(own.size())) {
        return system_problem(fmt::format("Cannot write {}", file.string()));
    }
    return lock;
}

std::vector<installation> installations(const fs::path& given) {
    std::vector<fs::path> candidates;
    if (!given.empty()) {
        candidates.push_back(given);
    } else {
        std::error_code missing;
        for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", missing)) {
            candidates.push_back(version.path() / "bin");
        }
        add_path_folders(candidates);
    }
    std::vector<installation> found;
    for (const auto& folder : candidates) {
        if (const auto major = major_of(folder)) {
            found.push_back({folder, *major});
        }
    }
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.major > b.major; });
    return found;
}

expected<installation> choose_installation(const fs::path& cluster, const fs::path& given) {
    const auto found = installations(given);
    int wanted = 0;
    std::ifstream(cluster / "PG_VERSION") >> wanted;
    std::string versions;
    for (const auto& one : found) {
        if (wanted == 0 ? one.major >= oldest_major : one.major == wanted) {
            return one;
        }
        versions += fmt::format("{}{}", versions.empty() ? "" : ", ", one.major);
    }
    if (wanted != 0 && !found.empty()) {
        return embedded_postgres_problem{
            fmt::format("The data in {} was written by PostgreSQL {}, and only PostgreSQL {} is "
                        "installed; install "
                        "postgresql-{}, or choose another directory with --data-dir.",
                        cluster.string(), wanted, versions, wanted)};
    }
    const std::string where =
        given.empty() ? "below /usr/lib/postgresql or in PATH" : "in " + given.string();
    return embedded_postgres_problem{
        fmt::format("No PostgreSQL {} or later {}{}; install it (Debian: apt-get install "
                    "postgresql), or use `insula "
                    "serve` with INSULA_DATABASE_URL.",
                    oldest_major, where, found.empty() ? "" : fmt::format(", only {}", versions))};
}

expected<surroundings> choose_account(const fs::path& cluster) {
    surroundings how;
    struct stat there{};
    const bool exists = ::stat(cluster.c_str(), &there) == 0;
    if (::geteuid() != 0) {
        if (exists && there.st_uid != ::geteuid()) {
            const passwd* owner = ::getpwuid(there.st_uid);
            return embedded_postgres_problem{fmt::format(
                "The database in {} belongs to the user {}; run as that user or as root, or choose "
                "another directory with --data-dir.",
                cluster.string(), owner == nullptr ? "?" : owner->pw_name)};
        }
        return how;
    }
    if (exists && there.st_uid != 0) {
        how.runs_as = account{there.st_uid, there.st_gid};
        return how;
    }
    const passwd* user = ::getpwnam("postgres");
    if (user == nullptr) {
        return embedded_postgres_problem{
            "PostgreSQL refuses to run as root, and this machine has no user postgres to run it "
            "as; install the "
            "package postgresql, or run as an ordinary user."};
    }
    how.runs_as = account{user->pw_uid, user->pw_gid};
    return how;
}

expected<fs::path> socket_folder(const fs::path& postgres, const surroundings& how) {
    const fs::path folder = postgres / "socket";
    remove_private_socket_folder(postgres);  // of a run that was killed
    if (usable_for_socket(folder) && can_enter(postgres, how)) {
        if (!make_own_folder(folder, how)) {
            return system_problem(fmt::format("Cannot make {}", folder.string()));
        }
        return {boost::system::in_place_value, folder};
    }
    std::string name = "/tmp/insula-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr || !make_own_folder(name, how)) {
        return system_problem("Cannot make a private folder for the database's socket below /tmp");
    }
    std::error_code failed;
    fs::remove_all(folder, failed);  // an empty one of a run that could use it
    fs::create_directory_symlink(name, folder, failed);
    if (failed) {
        fs::remove(name, failed);
        return embedded_postgres_problem{fmt::format("Cannot make the link {}", folder.string())};
    }
    return {boost::system::in_place_value, name};
}

void remove_private_socket_folder(const fs::path& postgres) {
    std::error_code failed;
    const fs::path link = postgres / "socket";
    const fs::path target = fs::read_symlink(link, failed);
    if (failed || !target.string().starts_with("/tmp/insula-")) {
        return;
    }
    fs::remove(target / ".s.PGSQL.5432", failed);
    fs::remove(target / ".s.PGSQL.5432.lock", failed);
    fs::remove(target, failed);
    fs::remove(link, failed);
}

expected<descriptor> open_log(const fs::path& log) {
    std::error_code failed;
    if (fs::file_size(log, failed) > log_bytes_max && !failed) {
        fs::rename(log, log.string() + ".old", failed);
    }
    descriptor file(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (file.get() < 0) {
        return system_problem(fmt::format("Cannot write {}", log.string()));
    }
    return file;
}

std::string log_tail(const fs::path& log, std::uintmax_t offset) {
    std::ifstream in(log);
    in.seekg(static_cast<std::streamoff>(offset));
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
        lines.push_back(line);
        if (lines.size() > 8) {
            lines.erase(lines.begin());
        }
    }
    std::string text;
    for (const auto& line : lines) {
        text += "\n  " + line;
    }
    return text;
}

}  // namespace insula::app::detail
