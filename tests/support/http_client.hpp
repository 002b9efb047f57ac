// A blocking HTTP/1.1 client for tests, on plain sockets: it sends what it is told, also what no
// good client would send, and shows everything that came back. Nothing of the product is used here.
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace insula::test {

/// No answer in time, a cut connection, or bytes that are not HTTP.
class http_failure : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

using http_fields = std::vector<std::pair<std::string, std::string>>;

struct http_answer {
    int status = 0;
    http_fields fields;
    std::string body;

    /// The first field of that name, letter case ignored.
    std::optional<std::string> field(std::string_view name) const;
    /// Status, fields and body, for messages of failed tests.
    std::string text() const;
};

/// One keep-alive connection, opened when needed and again when the server closed it. One thread at
/// a time.
class http_client {
public:
    /// "127.0.0.1:8080". No answer may take longer than the limit.
    explicit http_client(std::string address,
                         std::chrono::milliseconds limit = std::chrono::seconds(60));
    http_client(http_client&& other) noexcept;
    http_client& operator=(http_client&&) = delete;
    http_client(const http_client&) = delete;
    http_client& operator=(const http_client&) = delete;
    ~http_client();

    /// Host and, for a body or a method that has one, Content-Length are added; nothing else. A
    /// request that met a connection the server had closed in the meantime is sent again, once.
    http_answer send(std::string_view method, std::string_view target, const http_fields& fields,
                     std::string_view body = {});
    /// Just writes, for requests in flight; a later read_answer(method) takes their answers in
    /// order.
    void write(std::string_view bytes);
    http_answer read_answer(bool head_request = false);
    void close();

    /// Told of every answer that send() got, by any client of the program.
    using watcher = void (*)(const std::string& address, std::string_view method,
                             std::string_view target, const http_answer& answer);
    static void watch_all(watcher told);

private:
    void open();
    bool fill();
    std::string take_line();

    std::string address_;
    std::chrono::milliseconds limit_;
    std::chrono::steady_clock::time_point until_;
    int socket_ = -1;
    std::string buffer_;
    bool keep_ = true;
};

}  // namespace insula::test
