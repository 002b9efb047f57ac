#include "support/gate_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

// More than this between the ends, and no more is taken: as a network's buffers.
constexpr std::size_t between_max = 256 * 1024;
constexpr int look_every_ms = 5;

bool contains(const std::string& data, const std::string& needle) {
    return !needle.empty() && data.find(needle) != std::string::npos;
}

}  // namespace

carried_connection::carried_connection(gate& owner, int client, int server, std::uint64_t number)
    : owner_(owner),
      generation_(owner.generation_),
      rules_(owner.current()),
      number_(number),
      up_{.from = client, .to = server},
      down_{.from = server, .to = client},
      dice_(static_cast<std::uint32_t>(number)) {
    const int on = 1;
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // of TCP only
}

carried_connection::~carried_connection() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    for (const int fd : {up_.from, down_.from}) {
        if (reset_) {
            ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        }
        ::close(fd);
    }
}

void carried_connection::run() {
    while (!owner_.stop_ && step()) {
    }
}

bool carried_connection::step() {
    if (const auto now = owner_.generation_.load(); now != generation_) {
        generation_ = now;
        rules_ = owner_.current();
        up_.passed = down_.passed = 0;
    }
    if (rules_.what.entry != fault::door::open ||
        (marked_ && rules_.how == gate::mode::refuse_marked)) {
        ++owner_.deeds_;
        return false;
    }
    if (number_ <= rules_.stranded || (marked_ && rules_.how == gate::mode::hold_marked)) {
        return stay_silent();
    }
    if (!take(up_, rules_.what.to_server) || !take(down_, rules_.what.to_client) ||
        !deliver(up_, rules_.what.to_server) || !deliver(down_, rules_.what.to_client) ||
        (up_.told && down_.told)) {
        return false;
    }
    wait_for_something();
    return true;
}

void carried_connection::wait_for_something() {
    const auto watched = [](const lane& of, const flow& how) {
        const bool room = !how.hold && !of.source_ended && of.held < between_max;
        return pollfd{room ? of.from : -1, POLLIN, 0};
    };
    const auto waits = [](const lane& of) {
        return !of.between.empty() && of.between.front().due <= clock::now();
    };
    std::array<pollfd, 2> ready{watched(up_, rules_.what.to_server),
                                watched(down_, rules_.what.to_client)};
    ::poll(ready.data(), ready.size(), waits(up_) || waits(down_) ? 1 : look_every_ms);
}

// Whoever holds the other end may hang up; nobody is told.
bool carried_connection::stay_silent() {
    owner_.deeds_ += has_something(up_) ? 1 : 0;
    pollfd hung{up_.from, POLLRDHUP, 0};
    if (::poll(&hung, 1, 10) > 0 && number_ <= rules_.stranded) {
        return false;
    }
    if (hung.revents != 0) {
        ::poll(nullptr, 0, 10);
    }
    return true;
}

bool carried_connection::has_something(const lane& of) {
    char first = 0;
    return ::recv(of.from, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool carried_connection::take(lane& of, const flow& how) {
    if (how.half_close && !of.source_ended) {
        of.source_ended = true;  // whatever it still says is lost
        ++owner_.deeds_;
    }
    if (how.hold || of.source_ended || of.held >= between_max) {
        owner_.deeds_ += how.hold && has_something(of) ? 1 : 0;
        return true;
    }
    std::string data(65536, '\0');
    const auto n = ::recv(of.from, data.data(), data.size(), MSG_DONTWAIT);
    if (n < 0) {
        reset_ = errno == ECONNRESET;
        return errno == EAGAIN || errno == EINTR;
    }
    if (n == 0) {
        of.source_ended = true;
        return true;
    }
    data.resize(static_cast<std::size_t>(n));
    if (&of == &up_ && !from_client(data)) {
        return false;
    }
    if (&of == &down_) {
        name_another_backend(data);
    }
    corrupt(data, how.corrupt_every);
    owner_.deeds_ += how.delay > 0ms ? 1 : 0;
    of.held += data.size();
    of.between.push_back({clock::now() + how.delay, std::move(data)});
    return true;
}

bool carried_connection::deliver(lane& of, const flow& how) {
    if (how.hold) {
        return true;
    }
    while (!of.between.empty() && of.between.front().due <= clock::now()) {
        std::size_t most = of.between.front().bytes.size();
        if (how.slice != 0) {
            most = std::min(most, how.slice);
        }
        if (how.bytes_per_second != 0) {
            if (of.free_at > clock::now()) {
                return true;
            }
            most = std::min(most, std::max<std::size_t>(how.bytes_per_second / 50, 1));
            of.free_at = clock::now() + std::chrono::duration_cast<clock::duration>(
                                            1s * static_cast<double>(most) /
                                            static_cast<double>(how.bytes_per_second));
        }
        owner_.deeds_ += most < of.between.front().bytes.size() ? 1 : 0;
        const auto before = of.held;
        if (!send_some(of, most, how)) {
            return false;
        }
        if (of.held == before) {
            return true;  // the receiver's buffers are full
        }
    }
    if (of.source_ended && of.between.empty()) {
        tell_end(of);
    }
    return true;
}

bool carried_connection::send_some(lane& of, std::size_t most, const flow& how) {
    if (how.reset_after != 0) {
        most = std::min(most, how.reset_after - of.passed);
    }
    std::string& bytes = of.between.front().bytes;
    const auto n = ::send(of.to, bytes.data(), most, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    const auto sent = static_cast<std::size_t>(n);
    bytes.erase(0, sent);
    of.held -= sent;
    of.passed += sent;
    if (bytes.empty()) {
        of.between.pop_front();
    }
    reset_ = how.reset_after != 0 && of.passed >= how.reset_after;
    owner_.deeds_ += reset_ ? 1 : 0;
    return !reset_;
}

void carried_connection::corrupt(std::string& bytes, std::size_t every) {
    if (every == 0) {
        return;
    }
    std::uniform_int_distribution<std::size_t> gap(0, 2 * every);
    for (std::size_t at = gap(dice_); at < bytes.size(); at += 1 + gap(dice_)) {
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << (dice_() % 8)));
        ++owner_.deeds_;
    }
}

void carried_connection::tell_end(lane& of) {
    if (!of.told) {
        of.told = true;
        ::shutdown(of.to, SHUT_WR);
    }
}

bool carried_connection::from_client(std::string& data) {
    const bool has_needle = contains(data, rules_.needle);
    marked_ = marked_ || has_needle;
    const bool before = rules_.how == gate::mode::cut_before_sync;
    const bool for_good = rules_.how == gate::mode::cut_for_good;
    const bool after = for_good || rules_.how == gate::mode::cut_after_sync;
    if (!has_needle || owner_.sprung_ || (!before && !after)) {
        return true;
    }
    if (after) {
        ::send(up_.to, data.data(), data.size(), MSG_NOSIGNAL);
        swallow_answer();
    }
    if (for_good) {
        owner_.set(gate::mode::refuse);
    }
    owner_.sprung_ = true;
    return false;
}

// The answer shows that the server is through with it; nobody else will see it.
void carried_connection::swallow_answer() {
    std::string answer;
    std::string more(65536, '\0');
    while (answer.find('Z', answer.size() < 6 ? 0 : answer.size() - 6) == std::string::npos) {
        const auto n = ::recv(up_.to, more.data(), more.size(), 0);
        if (n <= 0) {
            return;
        }
        answer.append(more.data(), static_cast<std::size_t>(n));
    }
}

void carried_connection::name_another_backend(std::string& data) {
    if (rules_.how != gate::mode::pooler || !first_) {
        return;
    }
    // BackendKeyData: 'K', length 12, process id, secret.
    const auto key = data.find(std::string("K\0\0\0\x0c", 5));
    if (key != std::string::npos) {
        data[key + 8] = static_cast<char>(data[key + 8] ^ 1);
        first_ = false;
    }
}

}  // namespace insula::test
