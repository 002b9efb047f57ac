#include "insula/mail/file_transport.hpp"

#include "insula/core/random.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace insula::mail {
namespace {

class descriptor {
public:
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    [[nodiscard]] int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }

private:
    int fd_;
};

error failed(const std::string& what) {
    return {errc::overloaded, "Mail cannot be delivered at the moment.",
            "mail: " + what + ": " + std::generic_category().message(errno)};
}

bool write_whole(int fd, std::string_view text) noexcept {
    while (!text.empty()) {
        const auto written = ::write(fd, text.data(), text.size());
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

result<> make_folder(const std::filesystem::path& folder) {
    std::error_code ec;
    if (std::filesystem::is_directory(folder, ec)) {
        return {};
    }
    if (folder.has_parent_path()) {
        std::filesystem::create_directories(folder.parent_path(), ec);
    }
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        return failed("cannot make the folder " + folder.string());
    }
    return {};
}

// Everything by name relative to the open folder: it cannot be swapped for another in between.
result<> write_in(const descriptor& folder, const std::string& name, std::string_view text) {
    struct stat there{};
    if (::fstatat(folder.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!S_ISREG(there.st_mode)) {
            errno = EEXIST;
            return failed(name + " is not a file");
        }
        // An earlier attempt wrote it, and may have been killed before its folder entry was on
        // disk.
        return ::fsync(folder.get()) == 0 ? result<>() : failed("cannot sync the folder");
    }
    const auto temporary = "." + name + "." + std::to_string(random_u64()) + ".tmp";
    const descriptor file(::openat(folder.get(), temporary.c_str(),
                                   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) {
        return failed("cannot make a file");
    }
    if (!write_whole(file.get(), text) || ::fsync(file.get()) != 0 ||
        ::renameat(folder.get(), temporary.c_str(), folder.get(), name.c_str()) != 0) {
        auto problem = failed("cannot write " + name);
        ::unlinkat(folder.get(), temporary.c_str(), 0);
        return problem;
    }
    return ::fsync(folder.get()) == 0 ? result<>() : failed("cannot sync the folder");
}

}  // namespace

result<> write_mail_file(const std::filesystem::path& folder, const message& mail) {
    if (mail.key.empty() || mail.to.address.empty() || mail.from.address.empty()) {
        return error(errc::internal, {}, "mail: a message without key, sender or receiver");
    }
    if (auto made = make_folder(folder); !made) {
        return made;
    }
    const descriptor open_folder(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!open_folder) {
        return failed("cannot open the folder " + folder.string());
    }
    return write_in(open_folder, mail.key.str() + ".eml", to_text(mail));
}

result<> check_mail_folder(const std::filesystem::path& folder) {
    // One that is missing will be made: then it is the folder above that must be writable.
    auto there = std::filesystem::absolute(folder);
    std::error_code ec;
    while (!std::filesystem::exists(there, ec) && there.has_relative_path()) {
        there = there.parent_path();
    }
    const descriptor open_folder(::open(there.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!open_folder) {
        return failed("cannot open the folder " + there.string());
    }
    const auto name = ".check." + std::to_string(random_u64()) + ".tmp";
    const descriptor file(::openat(open_folder.get(), name.c_str(),
                                   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) {
        return failed("cannot make a file in " + there.string() + " for " + folder.string());
    }
    ::unlinkat(open_folder.get(), name.c_str(), 0);
    return {};
}

file_transport::file_transport(std::filesystem::path folder, runtime::cpu_pool& pool,
                               observe::metrics& counts)
    : transport(counts), folder_(std::move(folder)), pool_(pool) {}

runtime::awaitable<delivery> file_transport::deliver(message mail, runtime::deadline) {
    // By value: whatever becomes of the caller, the thread of the pool has what it needs.
    const auto written = co_await pool_.run(
        [folder = folder_, mail = std::move(mail)] { return write_mail_file(folder, mail); });
    if (!written) {
        co_return delivery::deferred(written.error().describe());
    }
    if (*written) {
        co_return delivery{};
    }
    const auto& problem = written->error();
    co_return problem == errc::overloaded ? delivery::deferred(std::string(problem.internal()))
                                          : delivery::rejected(problem.describe());
}

}  // namespace insula::mail
