// libpq closes its socket in the middle of a call when the server has gone; the number is free at
// once and somebody else's.
#include "insula/runtime/descriptor.hpp"

#include "random_units.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

namespace insula::pg::test_support {
namespace {

class pg_descriptor : public pg_test {};
INSULA_PG_ON_EVERY_BACKEND(pg_descriptor);

std::set<int> open_descriptors() {
    constexpr int many = 1024;
    std::set<int> all;
    for (int fd = 0; fd < many; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) {
            all.insert(fd);
        }
    }
    return all;
}

/// What is open of the first and no longer of the second; -1: nothing.
int closed_since(const std::set<int>& before) {
    const auto now = open_descriptors();
    for (const int fd : before) {
        if (!now.contains(fd)) {
            return fd;
        }
    }
    return -1;
}

awaitable<void> write_when_lost(detail::request_ptr last, int to) {
    (void)co_await last->done.wait(deadline::after(2s));
    EXPECT_EQ(::write(to, "x", 1), 1);
}

TEST_P(pg_descriptor, G52_a_number_that_libpq_gave_up_is_not_taken_from_its_next_owner) {
    world w(1);
    pool p(home(), options(w), budget_, metrics_);
    run([&]() -> awaitable<void> {
        unit first;
        first.add_once("select 1");
        EXPECT_TRUE(co_await p.run(std::move(first), deadline::after(5s)));
        const auto on = detail::pool_test_access::shared_connection(p);
        const auto before = open_descriptors();

        // All in one turn of the loop: nobody looks at the socket before it is written to.
        w.admin("select pg_terminate_backend(" + std::to_string(on->backend_pid()) + ", 5000)");
        std::vector<detail::request_ptr> lost;
        int number = -1;
        for (int i = 0; i < 8 && number < 0; ++i) {
            unit u;
            u.add_once("select 1");
            lost.push_back(std::make_shared<detail::request>(home(), std::move(u), unit_options{},
                                                             deadline::after(5s)));
            on->send(lost.back());
            number = closed_since(before);
        }
        int ends[2] = {-1, -1};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        EXPECT_EQ(ends[0], number)
            << "libpq closed its socket, whose number is taken again at once";
        {
            runtime::descriptor_watch next(home(), ends[0]);
            background(write_when_lost(lost.back(), ends[1]));
            const auto ready =
                co_await next.wait(runtime::descriptor_watch::read, deadline::after(3s));
            EXPECT_TRUE(ready) << "the old connection's end has made the new owner deaf";
            co_await next.release();
        }
        co_await all_ended();
        ::close(ends[0]);
        ::close(ends[1]);
        co_await p.close(deadline::after(5s));
    });
}

}  // namespace
}  // namespace insula::pg::test_support
