#include "test_client.hpp"

#include "http/guard.hpp"

#include "insula/runtime/address.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace insula::http::test {

std::optional<std::string> received::field(std::string_view name) const {
    std::string_view rest = head;
    while (!rest.empty()) {
        const auto end = rest.find("\r\n");
        const auto line = rest.substr(0, end);
        const auto colon = line.find(':');
        if (colon != std::string_view::npos && iequals(line.substr(0, colon), name))
            return std::string(trim_ows(line.substr(colon + 1)));
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
    }
    return std::nullopt;
}

std::size_t received::count(std::string_view name) const {
    std::size_t n = 0;
    for (auto at = head.find("\r\n"); at != std::string::npos; at = head.find("\r\n", at + 2)) {
        n += iequals(std::string_view(head).substr(at + 2, name.size()), name) &&
             head[at + 2 + name.size()] == ':';
    }
    return n;
}

client::client(const std::string& address, int receive_buffer) {
    const auto to = runtime::address::parse(address);
    if (!to)
        throw std::runtime_error("not an address: " + address);
    sockaddr_storage storage{};
    const auto size = to->to(storage);
    fd_ = ::socket(to->socket_family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0)
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&storage), size) != 0)
        throw std::runtime_error("cannot connect to " + address);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

client::~client() {
    ::close(fd_);
}

void client::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

void client::send_by_octets(std::string_view bytes) {
    for (const char& c : bytes)
        send({&c, 1});
}

void client::finish_sending() {
    ::shutdown(fd_, SHUT_WR);
}

bool client::fill() {
    constexpr int patience_ms = 10'000;
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, patience_ms) == 0)
        throw std::runtime_error("the server stays silent; so far: " + buffer_.substr(0, 200));
    std::array<char, 65536> part;
    const auto n = ::recv(fd_, part.data(), part.size(), 0);
    if (n <= 0)
        return false;
    buffer_.append(part.data(), static_cast<std::size_t>(n));
    return true;
}

bool client::at_end() {
    return buffer_.empty() && !fill();
}

std::optional<received> client::receive(bool head) {
    std::size_t end = std::string::npos;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
        if (!fill()) {
            if (buffer_.empty())
                return std::nullopt;
            throw std::runtime_error("half a header: " + buffer_);
        }
    }
    received r;
    r.head = buffer_.substr(0, end + 2);
    r.status = static_cast<unsigned>(std::stoul(r.head.substr(9, 3)));
    const auto length = head ? 0 : std::stoul(r.field("Content-Length").value_or("0"));
    while (buffer_.size() < end + 4 + length) {
        if (!fill())
            throw std::runtime_error("half a body");
    }
    r.body = buffer_.substr(end + 4, length);
    buffer_.erase(0, end + 4 + length);
    return r;
}

std::vector<received> client::receive_all() {
    std::vector<received> all;
    while (auto r = receive())
        all.push_back(std::move(*r));
    return all;
}

received client::ask(std::string_view bytes, bool head) {
    send(bytes);
    auto r = receive(head);
    if (!r)
        throw std::runtime_error("closed instead of an answer");
    return std::move(*r);
}

}  // namespace insula::http::test
