// Octets of any kind on a connection of the real session, in front of the whole API
// (support/api_stand.hpp): what comes back is a row of whole responses, none of them a 500, and the
// same row whether the octets come at once or a few at a time (G60, G63, G64).
#include "http/session.hpp"
#include "support/api_stand.hpp"
#include "support/fuzz.hpp"

#include <boost/asio/co_spawn.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <future>

namespace insula::http {
namespace {

using fuzz::require;

/// The API, whose database is never there: a request's time is up before it begins.
class out_of_time final : public service {
public:
    explicit out_of_time(service& behind) : behind_(behind) {}
    route_match match(method m, std::string_view path) const noexcept override {
        return behind_.match(m, path);
    }
    std::size_t route_count() const noexcept override { return behind_.route_count(); }
    const route_info& route(std::size_t index) const noexcept override {
        return behind_.route(index);
    }
    runtime::awaitable<result<response>> serve(request& r, const route_info& route) override {
        r.deadline = runtime::deadline::after(std::chrono::seconds(0));
        return behind_.serve(r, route);
    }

private:
    service& behind_;
};

struct stand {
    out_of_time service{fuzz::api_stand::get().service()};
    observe::metrics metrics;
    shared_state shared{service, options(), metrics, nullptr};

    static server_options options() {
        server_options o;
        o.log_requests = false;
        o.limits.header_bytes_max = 2048;
        o.limits.body_bytes_max = 512;
        o.cors_origins = {"https://app.example"};
        return o;
    }
};

runtime::awaitable<void> converse(shared_state& shared, int fd) {
    session one(shared, runtime::stream::adopt(fuzz::api_stand::get().loop(), fd));
    co_await one.run();
}

/// Everything the session sends for these octets, which end with the client's FIN.
std::string answers_to(std::string_view octets, std::size_t slice) {
    static stand with;
    std::array<int, 2> ends{};
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, "no sockets");
    std::promise<void> over;
    boost::asio::co_spawn(fuzz::api_stand::get().loop().get_executor(),
                          converse(with.shared, ends[1]),
                          [&over](const std::exception_ptr& thrown) {
                              require(!thrown, "an exception left the session");
                              over.set_value();
                          });
    // Inputs are smaller than a socket's buffer, so nothing of this waits for the reader.
    while (!octets.empty()) {
        const auto sent =
            ::send(ends[0], octets.data(), std::min(slice, octets.size()), MSG_NOSIGNAL);
        if (sent <= 0) {
            break;  // it has had enough
        }
        octets.remove_prefix(static_cast<std::size_t>(sent));
    }
    ::shutdown(ends[0], SHUT_WR);
    std::string received;
    std::array<char, 65536> buffer;
    for (;;) {
        const auto got = ::recv(ends[0], buffer.data(), buffer.size(), 0);
        if (got <= 0) {
            break;
        }
        received.append(buffer.data(), static_cast<std::size_t>(got));
    }
    over.get_future().wait();
    ::close(ends[0]);
    return received;
}

bool has_field(std::string_view head, std::string_view name) {
    return head.find("\r\n" + std::string(name) + ": ") != std::string_view::npos;
}

std::size_t content_length(std::string_view head) {
    static constexpr std::string_view name = "\r\nContent-Length: ";
    const auto at = head.find(name);
    std::size_t size = 0;
    if (at != std::string_view::npos) {
        const auto from = head.data() + at + name.size();
        std::from_chars(from, head.data() + head.size(), size);
    }
    return size;
}

/// The statuses of a row of responses, 100 left out: it is sent only to those who wait for it.
std::string statuses_of(std::string_view row) {
    std::string found;
    while (!row.empty()) {
        require(row.starts_with("HTTP/1.1 "), "something that is no response");
        const auto end = row.find("\r\n\r\n");
        require(end != std::string_view::npos, "a header without an end");
        const auto head = row.substr(0, end + 2);
        const auto status = row.substr(9, 3);
        row.remove_prefix(end + 4);
        if (status == "100") {
            continue;
        }
        require(status != "500", "a 500");
        require(has_field(head, "X-Request-ID") && has_field(head, "Date") &&
                    has_field(head, "X-Content-Type-Options"),
                "a response without its own fields");
        const auto size = content_length(head);
        // To HEAD the body is not sent; no body of ours begins like this.
        if (!row.starts_with("HTTP/1.1 ") && status != "304" && !row.empty()) {
            require(row.size() >= size, "a body that is cut off");
            row.remove_prefix(size);
        }
        found += std::string(status) + " ";
    }
    return found;
}

}  // namespace
}  // namespace insula::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace insula::http;
    const auto octets = insula::fuzz::as_text(data, size);
    const auto whole = statuses_of(answers_to(octets, size));
    const auto sliced = statuses_of(answers_to(octets, 7));
    insula::fuzz::require(whole == sliced, "at once: " + whole + "; in slices: " + sliced);
    return 0;
}
