#include "disk.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace insula::test {

small_disk::small_disk(const std::string& folder, unsigned megabytes, const std::string& owner_like)
    : folder_(folder) {
    struct stat like{};
    ::mkdir(folder.c_str(), 0700);
    const auto options = "size=" + std::to_string(megabytes) + "m,mode=0700";
    if (::mount("tmpfs", folder.c_str(), "tmpfs", 0, options.c_str()) != 0) {
        problem_ =
            std::string("this machine lets nobody mount a small disk: ") + std::strerror(errno);
    } else if (::stat(owner_like.c_str(), &like) != 0 ||
               ::chown(folder.c_str(), like.st_uid, like.st_gid) != 0) {
        problem_ = "the small disk cannot be given to PostgreSQL";
    }
}

small_disk::~small_disk() {
    ::umount2(folder_.c_str(), MNT_DETACH);
    ::rmdir(folder_.c_str());
}

void small_disk::fill() {
    const int fd = ::open((folder_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static constexpr std::array<char, 4096> page{};
    while (::write(fd, page.data(), page.size()) > 0) {
    }
    ::close(fd);
}

void small_disk::free() {
    ::unlink((folder_ + "/filler").c_str());
}

}  // namespace insula::test
