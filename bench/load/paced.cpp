// Requests at a fixed pace, whatever the answers do: an open loop, so that a stall is met by
// everybody who would have met it. One thread, kept connections, one request at a time on each; a
// request for which no connection is free gets another.
//
//   paced_load PORT PER_SECOND SECONDS REQUEST_FILE…
//
// The files are whole requests, sent in turn. Prints a line "STATUS RETRY_AFTER MICROSECONDS" for
// each, the time from when it was due to the last byte of its answer; 0 as status: the connection
// ended. Asks for real-time priority, so that what is measured is the service and not how the
// machine treats its client; says so on standard error when it does not get it.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

struct answered {
    int status = 0;
    bool retry_after = false;
    double microseconds = 0;
};

struct connection {
    int fd = -1;
    clock_type::time_point due;
    std::string received;
};

[[noreturn]] void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

class pacer {
public:
    pacer(std::uint16_t port, double per_second, double seconds, std::vector<std::string> requests)
        : port_(port),
          gap_(std::chrono::duration_cast<clock_type::duration>(
              std::chrono::duration<double>(1 / per_second))),
          count_(static_cast<std::size_t>(per_second * seconds)),
          requests_(std::move(requests)),
          poll_(::epoll_create1(0)),
          timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)) {
        if (poll_ < 0 || timer_ < 0) {
            fail("epoll or timer");
        }
        watch(timer_, nullptr);
        answers_.reserve(count_);
    }

    std::vector<answered> run() {
        next_due_ = clock_type::now();
        send_due();
        while (answers_.size() < count_) {
            std::array<epoll_event, 64> events{};
            const int ready = ::epoll_wait(poll_, events.data(), events.size(), 30'000);
            if (ready <= 0) {
                fail("no answer for 30 s");
            }
            for (int i = 0; i < ready; ++i) {
                auto* const on =
                    static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
                if (on != nullptr) {
                    receive(*on);
                }
            }
            send_due();
        }
        return std::move(answers_);
    }

private:
    void watch(int fd, connection* as) const {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = as;
        if (::epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event) != 0) {
            fail("epoll_ctl");
        }
    }

    void send_due() {
        while (sent_ < count_ && next_due_ <= clock_type::now()) {
            send_one();
            next_due_ += gap_;
        }
        if (sent_ < count_) {
            const auto at = next_due_.time_since_epoch();
            const auto whole = std::chrono::duration_cast<std::chrono::seconds>(at);
            itimerspec when{};
            when.it_value.tv_sec = whole.count();
            when.it_value.tv_nsec = std::chrono::nanoseconds(at - whole).count();
            ::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
        } else {
            std::uint64_t expired = 0;
            (void)!::read(timer_, &expired, sizeof expired);
        }
    }

    void send_one() {
        auto& on = free_one();
        const auto& request = requests_[sent_++ % requests_.size()];
        on.due = next_due_;
        if (::send(on.fd, request.data(), request.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(request.size())) {
            fail("send");
        }
    }

    connection& free_one() {
        if (!free_.empty()) {
            auto* const one = free_.back();
            free_.pop_back();
            return *one;
        }
        auto one = std::make_unique<connection>();
        one->fd = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port_);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (one->fd < 0 || ::connect(one->fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
            fail("connect");
        }
        const int on = 1;
        ::setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(one->fd, one.get());
        return *all_.emplace_back(std::move(one));
    }

    void receive(connection& on) {
        std::array<char, 16'384> bytes;
        const auto got = ::recv(on.fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (got <= 0) {
            ::close(on.fd);
            note({}, on);
            return;  // never used again
        }
        on.received.append(bytes.data(), static_cast<std::size_t>(got));
        if (const auto done = complete(on.received)) {
            on.received.clear();
            note({done->status, done->retry_after, 0}, on);
            free_.push_back(&on);
        }
    }

    void note(answered what, const connection& on) {
        what.microseconds =
            std::chrono::duration<double, std::micro>(clock_type::now() - on.due).count();
        answers_.push_back(what);
    }

    /// Null: there is more to come. Answers here have a Content-Length or no body.
    static std::unique_ptr<answered> complete(std::string_view text) {
        const auto head = text.find("\r\n\r\n");
        if (head == std::string_view::npos) {
            return nullptr;
        }
        const auto fields = text.substr(0, head);
        const auto length = fields.find("Content-Length: ");
        const std::size_t body = length == std::string_view::npos
                                     ? 0
                                     : std::strtoul(fields.data() + length + 16, nullptr, 10);
        if (text.size() < head + 4 + body) {
            return nullptr;
        }
        auto done = std::make_unique<answered>();
        done->status = std::atoi(text.data() + 9);
        done->retry_after = fields.find("\r\nRetry-After: ") != std::string_view::npos;
        return done;
    }

    const std::uint16_t port_;
    const clock_type::duration gap_;
    const std::size_t count_;
    const std::vector<std::string> requests_;
    const int poll_;
    const int timer_;
    clock_type::time_point next_due_;
    std::size_t sent_ = 0;
    std::vector<std::unique_ptr<connection>> all_;
    std::vector<connection*> free_;
    std::vector<answered> answers_;
};

std::string content(const char* path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw std::runtime_error(std::string("cannot read ") + path);
    }
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc < 5) {
            throw std::runtime_error("usage: paced_load PORT PER_SECOND SECONDS REQUEST_FILE…");
        }
        std::vector<std::string> requests;
        for (int i = 4; i < argc; ++i) {
            requests.push_back(content(argv[i]));
        }
        const sched_param first{.sched_priority = 1};
        if (::sched_setscheduler(0, SCHED_FIFO, &first) != 0) {
            std::fprintf(stderr, "paced_load: no real-time priority: %s\n", std::strerror(errno));
        }
        pacer load(static_cast<std::uint16_t>(std::atoi(argv[1])), std::atof(argv[2]),
                   std::atof(argv[3]), std::move(requests));
        for (const auto& one : load.run()) {
            std::printf("%d %d %.1f\n", one.status, one.retry_after ? 1 : 0, one.microseconds);
        }
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "paced_load: %s\n", e.what());
        return 1;
    }
}
