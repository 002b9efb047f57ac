#include "support/gate.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace insula::test {
namespace {

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    return address;
}

int connect_to(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = address_of(path);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        ::close(fd);
        return -1;
    }
    return fd;
}

std::string read_some(int fd) {
    std::array<char, 65536> buffer{};
    const auto n = ::recv(fd, buffer.data(), buffer.size(), 0);
    return n > 0 ? std::string(buffer.data(), static_cast<std::size_t>(n)) : std::string();
}

bool write_all(int fd, std::string_view data, std::size_t at_once) {
    while (!data.empty()) {
        const auto n = ::send(fd, data.data(), std::min(at_once, data.size()), MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        data.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

}  // namespace

gate::gate(cluster& behind)
    : target_(behind.socket_folder() + "/.s.PGSQL." + std::to_string(behind.port())) {
    listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = address_of(folder_.path() + "/.s.PGSQL.5432");
    if (::bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(listening_, 64) != 0) {
        throw std::runtime_error("the gate cannot listen");
    }
    acceptor_ = std::thread([this] { accept_loop(); });
}

gate::~gate() {
    stop_ = true;
    acceptor_.join();
    for (auto& thread : threads_) {
        thread.join();
    }
    ::close(listening_);
}

void gate::set_needle(std::string text) {
    const std::lock_guard lock(mutex_);
    needle_ = std::move(text);
    sprung_ = false;
}

std::string gate::conninfo(const std::string& database, const std::string& role) const {
    return "host=" + folder_.path() + " port=5432 dbname=" + database + " user=" + role;
}

void gate::accept_loop() {
    while (!stop_) {
        pollfd ready{listening_, POLLIN, 0};
        if (::poll(&ready, 1, 10) == 1) {
            const int client = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
            ++carried_;
            threads_.emplace_back([this, client] {
                carry(client);
                --carried_;
            });
        }
    }
}

void gate::carry(int client) {
    const int server = mode_ == mode::refuse ? -1 : connect_to(target_);
    bool first = true;
    bool marked = false;
    bool open = server >= 0;
    while (open && !stop_ && mode_ != mode::refuse && !(marked && mode_ == mode::refuse_marked)) {
        std::array<pollfd, 2> ready{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
        const bool holds = mode_ == mode::hold || (marked && mode_ == mode::hold_marked);
        if (holds || ::poll(ready.data(), ready.size(), 10) <= 0) {
            if (holds) {
                ::poll(nullptr, 0, 10);
            }
            continue;
        }
        if (ready[0].revents != 0) {
            open = from_client(client, server, marked);
        }
        if (open && ready[1].revents != 0) {
            open = from_server(server, client, first);
        }
    }
    ::close(client);
    if (server >= 0) {
        ::close(server);
    }
}

bool gate::contains_needle(const std::string& data) {
    const std::lock_guard lock(mutex_);
    return !needle_.empty() && data.find(needle_) != std::string::npos;
}

bool gate::from_client(int client, int server, bool& marked) {
    const std::string data = read_some(client);
    if (data.empty()) {
        return false;
    }
    const mode how = mode_;
    const bool has_needle = contains_needle(data);
    marked = marked || has_needle;
    const bool springs =
        !sprung_ && has_needle && (how == mode::cut_before_sync || how == mode::cut_after_sync);
    if (springs && how == mode::cut_before_sync) {
        sprung_ = true;
        return false;
    }
    if (!write_all(server, data, how == mode::one_byte ? 1 : data.size())) {
        return false;
    }
    if (springs) {
        // The answer shows that the server is through with it; nobody else will see it.
        std::string answer;
        while (answer.find('Z', answer.size() < 6 ? 0 : answer.size() - 6) == std::string::npos) {
            const std::string more = read_some(server);
            if (more.empty()) {
                break;
            }
            answer += more;
        }
        sprung_ = true;
        return false;
    }
    return true;
}

bool gate::from_server(int server, int client, bool& first) {
    std::string data = read_some(server);
    if (data.empty()) {
        return false;
    }
    if (mode_ == mode::pooler && first) {
        // BackendKeyData: 'K', length 12, process id, secret.
        const auto key = data.find(std::string("K\0\0\0\x0c", 5));
        if (key != std::string::npos) {
            data[key + 8] = static_cast<char>(data[key + 8] ^ 1);
            first = false;
        }
    }
    return write_all(client, data, mode_ == mode::one_byte ? 1 : data.size());
}

}  // namespace insula::test
