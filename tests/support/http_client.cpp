#include "support/http_client.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace insula::test {

namespace {

bool same_name(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
               const auto lower = [](char c) {
                   return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
               };
               return lower(x) == lower(y);
           });
}

http_client::watcher told_of_answers = nullptr;

std::string failure(std::string_view what, int number) {
    return std::string(what) + ": " + std::strerror(number);
}

}  // namespace

std::optional<std::string> http_answer::field(std::string_view name) const {
    for (const auto& [key, value] : fields) {
        if (same_name(key, name)) {
            return value;
        }
    }
    return std::nullopt;
}

std::string http_answer::text() const {
    std::string all = std::to_string(status) + "\n";
    for (const auto& [key, value] : fields) {
        all += key + ": " + value + "\n";
    }
    return all + "\n" + body.substr(0, 2000);
}

http_client::http_client(std::string address, std::chrono::milliseconds limit)
    : address_(std::move(address)), limit_(limit) {}

http_client::http_client(http_client&& other) noexcept
    : address_(std::move(other.address_)),
      limit_(other.limit_),
      until_(other.until_),
      socket_(std::exchange(other.socket_, -1)),
      buffer_(std::move(other.buffer_)),
      keep_(other.keep_) {}

void http_client::watch_all(watcher told) {
    told_of_answers = told;
}

http_client::~http_client() {
    close();
}

void http_client::close() {
    if (socket_ >= 0) {
        ::close(socket_);
        socket_ = -1;
    }
    buffer_.clear();
}

void http_client::open() {
    if (socket_ >= 0) {
        return;
    }
    const auto colon = address_.rfind(':');
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address_.c_str() + colon + 1)));
    if (::inet_pton(AF_INET, address_.substr(0, colon).c_str(), &to.sin_addr) != 1) {
        throw http_failure(address_ + " is not an IPv4 address and port");
    }
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
        const int why = errno;
        close();
        throw http_failure(failure("connect to " + address_, why));
    }
}

void http_client::write(std::string_view bytes) {
    open();
    until_ = std::chrono::steady_clock::now() + limit_;
    while (!bytes.empty()) {
        const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0) {
            // The server may have answered and closed before it read everything: the answer
            // decides.
            if (errno == EPIPE || errno == ECONNRESET) {
                return;
            }
            throw http_failure(failure("send", errno));
        }
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

/// False at the end of the stream.
bool http_client::fill() {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until_ - std::chrono::steady_clock::now());
    pollfd wait{socket_, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0) {
        throw http_failure("no answer within " + std::to_string(limit_.count()) + " ms");
    }
    std::array<char, 16384> bytes{};
    const auto got = ::recv(socket_, bytes.data(), bytes.size(), 0);
    if (got <= 0) {
        return false;
    }
    buffer_.append(bytes.data(), static_cast<std::size_t>(got));
    return true;
}

std::string http_client::take_line() {
    auto end = buffer_.find("\r\n");
    while (end == std::string::npos) {
        if (!fill()) {
            throw http_failure("the connection ended inside the header: \"" + buffer_ + "\"");
        }
        end = buffer_.find("\r\n");
    }
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    return line;
}

http_answer http_client::read_answer(bool head_request) {
    until_ = std::chrono::steady_clock::now() + limit_;
    http_answer answer;
    do {  // interim answers (1xx) are passed over
        answer = {};
        const std::string first = take_line();
        if (!first.starts_with("HTTP/1.1 ") || first.size() < 12) {
            throw http_failure("not a status line: \"" + first + "\"");
        }
        answer.status = std::atoi(first.c_str() + 9);
        for (std::string line = take_line(); !line.empty(); line = take_line()) {
            const auto colon = line.find(':');
            if (colon == std::string::npos) {
                throw http_failure("not a field: \"" + line + "\"");
            }
            const auto value = line.find_first_not_of(" \t", colon + 1);
            answer.fields.emplace_back(line.substr(0, colon),
                                       value == std::string::npos ? "" : line.substr(value));
        }
    } while (answer.status < 200);
    keep_ = answer.field("Connection").value_or("") != "close";
    if (!head_request && answer.status != 204 && answer.status != 304) {
        const auto length = answer.field("Content-Length");
        if (!length) {
            throw http_failure("an answer without Content-Length: " + answer.text());
        }
        const auto size = static_cast<std::size_t>(std::strtoull(length->c_str(), nullptr, 10));
        while (buffer_.size() < size) {
            if (!fill()) {
                throw http_failure("the connection ended inside the body");
            }
        }
        answer.body = buffer_.substr(0, size);
        buffer_.erase(0, size);
    }
    if (!keep_) {
        close();
    }
    return answer;
}

http_answer http_client::send(std::string_view method, std::string_view target,
                              const http_fields& fields, std::string_view body) {
    std::string bytes;
    bytes.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
    bytes.append("Host: ").append(address_).append("\r\n");
    for (const auto& [name, value] : fields) {
        bytes.append(name).append(": ").append(value).append("\r\n");
    }
    if (!body.empty() || method == "POST" || method == "PATCH" || method == "PUT") {
        bytes.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
    }
    bytes.append("\r\n").append(body);
    const bool fresh = socket_ < 0;
    try {
        write(bytes);
        // An idle connection that the server closed meanwhile ends before the first byte.
        if (!fresh && buffer_.empty() && !fill()) {
            close();
            write(bytes);
        }
        auto answer = read_answer(method == "HEAD");
        if (told_of_answers != nullptr) {
            told_of_answers(address_, method, target, answer);
        }
        return answer;
    } catch (const http_failure&) {
        close();
        throw;
    }
}

}  // namespace insula::test
