#include "insula/runtime/listener.hpp"

#include "backends.hpp"
#include "sockets.hpp"

#include "insula/observe/log.hpp"
#include "insula/runtime/event.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

namespace insula::runtime {
namespace {

using namespace std::chrono_literals;

using listening = test::loop_test;
INSULA_ON_EVERY_BACKEND(listening);

awaitable<void> connect_and_say(loop& home, address to, char what) {
    auto connection = co_await stream::connect(home, to, deadline::after(10s));
    EXPECT_TRUE(connection.has_value());
    EXPECT_EQ(*co_await connection->write(asio::buffer(&what, 1)), 1U);
    char end = 0;
    static_cast<void>(co_await connection->read_some(asio::buffer(&end, 1)));
}

awaitable<char> first_byte(boost::system::result<stream> connection) {
    char c = 0;
    EXPECT_EQ(*co_await connection->read_some(asio::buffer(&c, 1)), 1U);
    co_return c;
}

TEST_P(listening, accepts_over_ipv4_ipv6_and_unix_paths) {
    const test::temporary_folder folder;
    run([&]() -> awaitable<void> {
        for (const auto& where : {std::string("127.0.0.1:0"), std::string("[::1]:0"),
                                  "unix:" + folder.path() + "/socket"}) {
            auto door = listener::bind(home(), where);
            EXPECT_TRUE(door.has_value()) << door.error().describe();
            if (!door) {
                continue;
            }
            background(connect_and_say(home(), door->local(), 'a'));
            EXPECT_EQ(co_await first_byte(co_await door->accept()), 'a');
        }
    });
    struct stat status;
    EXPECT_NE(::stat((folder.path() + "/socket").c_str(), &status), 0) << "unlinked at close";
}

TEST_P(listening, accepts_many_at_once_and_keeps_no_descriptor) {
    run([&]() -> awaitable<void> {
        auto door = listener::bind(home(), "127.0.0.1:0");
        constexpr int many = 300;
        for (int i = 0; i < many; ++i) {
            background(connect_and_say(home(), door->local(), 'x'));
        }
        for (int i = 0; i < many; ++i) {
            EXPECT_EQ(co_await first_byte(co_await door->accept()), 'x');
        }
        int on = 0;
        background(connect_and_say(home(), door->local(), 'x'));
        auto last = co_await door->accept();
        socklen_t size = sizeof on;
        ::getsockopt(last->native_handle(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, &size);
        EXPECT_EQ(on, 1);
        EXPECT_TRUE((::fcntl(last->native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
        EXPECT_EQ(last->remote_endpoint().host(), "127.0.0.1");
    });
}

TEST_P(listening, two_loops_share_an_address) {
    auto other = test::new_loop({.kind = GetParam()});
    const auto first = listener::bind(home(), "127.0.0.1:0");
    ASSERT_TRUE(first);
    const auto second = listener::bind(*other, first->local().str());
    EXPECT_TRUE(second) << second.error().describe();
    const auto third = listener::bind(home(), first->local().str(), {.reuse_port = false});
    EXPECT_FALSE(third);
}

TEST_P(listening, says_what_is_wrong_with_an_address) {
    const test::temporary_folder folder;
    const auto taken = listener::bind(home(), "127.0.0.1:0", {.reuse_port = false});
    const auto unix_taken = listener::bind(home(), "unix:" + folder.path() + "/s");
    ASSERT_TRUE(taken && unix_taken);
    const auto reason = [&](const std::string& where) {
        const auto made = listener::bind(home(), where, {.reuse_port = false});
        return made ? std::string("listens") : std::string(made.error().internal());
    };
    const auto contains = [](const std::string& text, std::string_view part) {
        return text.find(part) != std::string::npos;
    };
    EXPECT_TRUE(contains(reason(taken->local().str()), "another process listens there"));
    EXPECT_TRUE(contains(reason(unix_taken->local().str()), "another process listens there"));
    EXPECT_TRUE(contains(reason("192.0.2.1:0"), "this machine has no such address"));
    EXPECT_TRUE(contains(reason("localhost"), "write 127.0.0.1:8080"));
    EXPECT_TRUE(contains(reason("unix:/" + std::string(200, 'x')), "write 127.0.0.1:8080"));
}

TEST_P(listening, replaces_the_socket_file_of_a_process_that_died) {
    const test::temporary_folder folder;
    const auto where = "unix:" + folder.path() + "/s";
    {
        // Bound and closed without unlink, as a killed process leaves it.
        const auto at = address::parse(where);
        sockaddr_storage storage;
        const auto size = at->to(storage);
        const test::raw_fd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
        ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
    }
    EXPECT_TRUE(listener::bind(home(), where));
}

TEST_P(listening, close_ends_a_pending_accept) {
    run([&]() -> awaitable<void> {
        auto door = listener::bind(home(), "127.0.0.1:0");
        post(home(), [&] { post(home(), [&] { door->close(); }); });
        const auto ended = co_await door->accept();
        EXPECT_EQ(ended.error(), asio::error::operation_aborted);
        const auto again = co_await door->accept();
        EXPECT_EQ(again.error(), asio::error::operation_aborted);
    });
}

awaitable<void> accept_one(listener& door, int& accepted, event& done) {
    accepted += (co_await door.accept()).has_value() ? 1 : 0;
    done.set();
}

TEST_P(listening, a_cancelled_accept_loses_no_connection) {
    run([&]() -> awaitable<void> {
        auto door = listener::bind(home(), "127.0.0.1:0");
        asio::cancellation_signal stop;
        event done(home());
        int accepted = 0;
        asio::co_spawn(home(), accept_one(*door, accepted, done),
                       asio::bind_cancellation_slot(stop.slot(), [](const std::exception_ptr&) {}));
        co_await test::turns(2);
        stop.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await done.wait(deadline::after(5s)));
        EXPECT_EQ(accepted, 0);
        background(connect_and_say(home(), door->local(), 'y'));
        EXPECT_EQ(co_await first_byte(co_await door->accept()), 'y');
    });
}

TEST_P(listening, a_stopping_loop_destroys_its_acceptor) {
    auto door = listener::bind(home(), "127.0.0.1:0");
    int accepted = 0;
    event done(home());
    background(accept_one(*door, accepted, done));
    run([&]() -> awaitable<void> { co_await test::turns(3); });
    EXPECT_EQ(accepted, 0);
}

// Lowers the limit of descriptors to what is open now plus `spare`, until destruction.
class descriptor_limit {
public:
    explicit descriptor_limit(unsigned spare) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        auto limit = before_;
        const test::raw_fd next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        limit.rlim_cur = static_cast<rlim_t>(next.get()) + spare;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    descriptor_limit(const descriptor_limit&) = delete;
    descriptor_limit& operator=(const descriptor_limit&) = delete;

private:
    rlimit before_{};
};

TEST_P(listening, survives_running_out_of_descriptors_and_says_so) {
    std::vector<std::string> lines;
    std::mutex mutex;
    observe::configure_log({.format = observe::log_format::text,
                            .sink = [&](observe::log_level, std::string_view line) {
                                const std::lock_guard lock(mutex);
                                lines.emplace_back(line);
                            }});
    run([&]() -> awaitable<void> {
        auto door = listener::bind(home(), "127.0.0.1:0");
        const auto where = door->local();
        sockaddr_storage storage;
        const auto size = where.to(storage);
        std::vector<test::raw_fd> clients;
        for (int i = 0; i < 5; ++i) {
            clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            EXPECT_EQ(::connect(clients.back().get(), reinterpret_cast<sockaddr*>(&storage), size),
                      0);
        }
        std::vector<stream> accepted;
        {
            const descriptor_limit limit(2);
            for (int i = 0; i < 2; ++i) {
                accepted.push_back(*co_await door->accept());
            }
            event done(home());
            int more = 0;
            background(accept_one(*door, more, done));
            EXPECT_FALSE(co_await done.wait(deadline::after(20ms))) << "accepted beyond the limit?";
            // Two descriptors come free: accepting goes on by itself.
            accepted.clear();
            EXPECT_TRUE(co_await done.wait(deadline::after(5s)));
            EXPECT_EQ(more, 1);
        }
        for (int i = 0; i < 2; ++i) {
            EXPECT_TRUE((co_await door->accept()).has_value());
        }
    });
    observe::shutdown_log();
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(std::ranges::any_of(lines, [](const std::string& line) {
        return line.find("no descriptor or memory left") != std::string::npos;
    }));
}

TEST(addresses, are_parsed_and_written_alike) {
    for (const std::string text :
         {"127.0.0.1:8080", "0.0.0.0:0", "[::1]:80", "[fe80::1]:65535", "unix:/run/insula.sock"}) {
        const auto parsed = address::parse(text);
        ASSERT_TRUE(parsed) << text;
        EXPECT_EQ(parsed->str(), text);
        sockaddr_storage storage;
        const auto size = parsed->to(storage);
        EXPECT_EQ(address::from(storage, size), *parsed) << text;
    }
}

TEST(addresses, that_are_none_are_refused) {
    for (const std::string text :
         {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80x",
          "127.0.0.1: 80", "localhost:80", "[::1]", "::1:80", "[::1:80", "[]:80",
          "[fe80::1%none]:1", "unix:", "1.2.3:80", "1.2.3.4.5:80"}) {
        EXPECT_FALSE(address::parse(text)) << text;
    }
    EXPECT_FALSE(address::parse("unix:/" + std::string(107, 'x')));
    EXPECT_TRUE(address::parse("unix:/" + std::string(106, 'x')));
}

}  // namespace
}  // namespace insula::runtime
