#pragma once
// A blocking client on a plain socket: what it sends is exactly what the test says.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::http::test {

struct received {
    unsigned status = 0;
    std::string head;  // status line and fields
    std::string body;

    /// Value of the field, nullopt when absent; the name is matched without case.
    std::optional<std::string> field(std::string_view name) const;
    std::size_t count(std::string_view name) const;
};

class client {
public:
    /// "127.0.0.1:8080". receive_buffer: SO_RCVBUF in bytes, 0 for the system's.
    explicit client(const std::string& address, int receive_buffer = 0);
    ~client();
    client(const client&) = delete;
    client& operator=(const client&) = delete;

    /// Sends what the server still takes; a connection that was closed meanwhile is no error.
    void send(std::string_view bytes);
    void send_by_octets(std::string_view bytes);
    void finish_sending();
    /// The next response; nullopt when the server closed. `head` for the answer to HEAD. Throws
    /// after ten seconds of silence.
    std::optional<received> receive(bool head = false);
    /// All responses until the server closes.
    std::vector<received> receive_all();
    /// True when the server closed and nothing is left to read.
    bool at_end();
    received ask(std::string_view bytes, bool head = false);

private:
    bool fill();
    int fd_;
    std::string buffer_;
};

}  // namespace insula::http::test
