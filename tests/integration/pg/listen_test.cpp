#include "insula/pg/listen.hpp"

#include "pg_fixture.hpp"

namespace insula::pg::test_support {
namespace {

constexpr statement ping{"test.ping", "select pg_backend_pid()"};
using kind = notification::kind;

class pg_listen : public pg_test {
protected:
    pg_listen()
        : listener_(home(),
                    {.name = "listen",
                     .conninfo = shared_world().conninfo(),
                     .channels = {"feed", "wake"}},
                    budget_, metrics_) {}

    listener_connection listener_;
};

INSULA_PG_ON_EVERY_BACKEND(pg_listen);

TEST_P(pg_listen, notifications_arrive_in_order_between_up_and_down) {
    run([this]() -> awaitable<void> {
        auto& w = shared_world();
        EXPECT_EQ((co_await listener_.next(soon())).what, kind::up);
        EXPECT_EQ((co_await listener_.next(deadline::after(5ms))).what, kind::idle);
        w.admin("notify feed, '1'");
        w.admin("notify other, 'not ours'; notify wake");
        const auto first = co_await listener_.next(soon());
        EXPECT_EQ(first.what, kind::message);
        EXPECT_EQ(first.channel, "feed");
        EXPECT_EQ(first.payload, "1");
        EXPECT_EQ((co_await listener_.next(soon())).channel, "wake");
        // The look on the same connection, and what is notified meanwhile.
        unit u;
        u.add(ping).add_once("notify feed, 'from ourselves'");
        const auto answer = co_await listener_.exec(std::move(u), {}, soon());
        EXPECT_TRUE(answer) << describe(answer.error());
        EXPECT_EQ((co_await listener_.next(soon())).payload, "from ourselves");
        co_await listener_.close();
        EXPECT_EQ((co_await listener_.next(soon())).what, kind::down);
        EXPECT_EQ(budget_.open(), 0U);
    });
}

TEST_P(pg_listen, G52_a_lost_connection_is_reported_and_replaced) {
    run([this]() -> awaitable<void> {
        auto& w = shared_world();
        EXPECT_EQ((co_await listener_.next(soon())).what, kind::up);
        for (int round = 0; round < 3; ++round) {
            w.admin(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name = 'insula listen'");
            EXPECT_EQ((co_await listener_.next(soon())).what, kind::down);
            EXPECT_FALSE(listener_.up());
            unit u;
            u.add(ping);
            EXPECT_FALSE(co_await listener_.exec(std::move(u), {}, soon()));
            EXPECT_EQ((co_await listener_.next(soon())).what, kind::up);
            w.admin("notify feed, 'again'");
            EXPECT_EQ((co_await listener_.next(soon())).payload, "again");
        }
        EXPECT_EQ(budget_.open(), 1U);
        co_await listener_.close();
    });
}

TEST_P(pg_listen, more_notifications_than_are_kept_lose_the_oldest) {
    run([this]() -> awaitable<void> {
        EXPECT_EQ((co_await listener_.next(soon())).what, kind::up);
        unit u;
        u.add_once("select pg_notify('feed', g::text) from generate_series(1, 5000) g");
        EXPECT_TRUE(co_await listener_.exec(std::move(u), {}, soon()));
        unit v;
        v.add_once("notify feed, 'last'");
        EXPECT_TRUE(co_await listener_.exec(std::move(v), {}, soon()));
        int seen = 0;
        for (;;) {
            const auto next = co_await listener_.next(soon());
            EXPECT_EQ(next.what, kind::message);
            ++seen;
            if (next.payload == "last" || next.what != kind::message) {
                break;
            }
        }
        EXPECT_LE(seen, 1025);
        co_await listener_.close();
    });
}

}  // namespace
}  // namespace insula::pg::test_support
