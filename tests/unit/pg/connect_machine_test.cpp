#include "pg/detail/connect_machine.hpp"

#include "pg/detail/connect.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace insula::pg::detail {
namespace {

using what = connect_step::what;

/// The whole way of a good connection, one event a step, with what is asked for after it.
struct scripted {
    std::function<connect_step(connect_machine&)> event;
    what asked;
};
std::vector<scripted> good_way() {
    return {
        {[](auto& m) { return m.begin(true); }, what::look_up},
        {[](auto& m) { return m.looked_up(true, ""); }, what::start},
        {[](auto& m) { return m.started(true, 5, ""); }, what::wait_write},
        {[](auto& m) { return m.waited(true); }, what::poll},
        {[](auto& m) { return m.polled(poll_answer::reading, 7, ""); }, what::wait_read},
        {[](auto& m) { return m.waited(true); }, what::poll},
        {[](auto& m) { return m.polled(poll_answer::ok, 7, ""); }, what::set_up},
        {[](auto& m) { return m.set_up(true, ""); }, what::probe},
        {[](auto& m) { return m.probed(42, 42, {}); }, what::settle},
        {[](auto& m) { return m.settled({}); }, what::ready},
    };
}

TEST(pg_connect_machine, goes_from_look_up_to_ready) {
    connect_machine machine;
    for (const auto& step : good_way()) {
        EXPECT_EQ(step.event(machine).next, step.asked);
    }
}

TEST(pg_connect_machine, without_a_name_nothing_is_looked_up) {
    connect_machine machine;
    EXPECT_EQ(machine.begin(false).next, what::start);
}

TEST(pg_connect_machine, waits_on_the_socket_as_it_is_now) {
    connect_machine machine;
    (void)machine.begin(false);
    EXPECT_EQ(machine.started(true, 5, "").socket, 5);
    (void)machine.waited(true);
    EXPECT_EQ(machine.polled(poll_answer::writing, 9, "").socket, 9);
}

TEST(pg_connect_machine, an_error_at_every_step_ends_it_with_its_reason) {
    using event = std::function<connect_step(connect_machine&)>;
    const std::vector<std::pair<std::size_t, event>> failures{
        {1, [](auto& m) { return m.looked_up(false, "no address\n"); }},
        {2, [](auto& m) { return m.started(false, -1, "bad option"); }},
        {2, [](auto& m) { return m.started(true, -1, "no socket"); }},
        {3, [](auto& m) { return m.waited(false); }},
        {4, [](auto& m) { return m.polled(poll_answer::failed, 7, "refused"); }},
        {4, [](auto& m) { return m.polled(poll_answer::reading, -1, "closed"); }},
        {5, [](auto& m) { return m.waited(false); }},
        {6, [](auto& m) { return m.polled(poll_answer::failed, 7, "password"); }},
        {7, [](auto& m) { return m.set_up(false, "no pipeline"); }},
        {9,
         [](auto& m) {
             return m.settled(pg_error{.state = sqlstate::unable_to_connect, .message = "lost"});
         }},
    };
    for (const auto& [at, failure] : failures) {
        connect_machine machine;
        const auto way = good_way();
        for (std::size_t i = 0; i < at; ++i) {
            (void)way[i].event(machine);
        }
        const connect_step end = failure(machine);
        EXPECT_EQ(end.next, what::failed) << at;
        EXPECT_EQ(end.error.state, sqlstate::unable_to_connect);
        EXPECT_FALSE(end.error.message.empty());
        EXPECT_NE(end.error.message.back(), '\n');
        // After the end no event is in order.
        EXPECT_THROW((void)machine.waited(true), std::logic_error);
        EXPECT_THROW((void)machine.begin(false), std::logic_error);
    }
}

/// On the good way, about to be told which backend answered.
connect_machine probing() {
    connect_machine machine;
    const auto way = good_way();
    for (std::size_t i = 0; i + 2 < way.size(); ++i) {
        (void)way[i].event(machine);
    }
    return machine;
}

connect_machine through_a_pooler() {
    connect_machine machine = probing();
    EXPECT_EQ(machine.probed(42, 4711, {}).next, what::compare)
        << "another backend than the one named: a pooler";
    return machine;
}

TEST(pg_connect_machine, G06_a_pooler_that_leaves_each_client_its_backend_is_session_pooling) {
    auto machine = through_a_pooler();
    EXPECT_EQ(machine.compared({{1, 1, 1}, {2, 2, 2}}).next, what::settle);
}

TEST(pg_connect_machine, G06_a_pooler_that_gives_each_transaction_another_backend_is_refused) {
    const std::pair<const char*, backends_seen> shapes[] = {
        {"the other one got ours", {{1, 1}, {1, 1}}},
        {"the other one got ours once", {{1, 1, 1}, {2, 2, 1}}},
        {"ours changed", {{1, 3, 1}, {2, 2, 2}}},
        {"the other one's changed", {{1, 1, 1}, {2, 4, 2}}},
        {"round and round", {{1, 3, 5}, {2, 4, 6}}},
    };
    for (const auto& [name, seen] : shapes) {
        auto machine = through_a_pooler();
        const auto end = machine.compared(seen);
        EXPECT_EQ(end.next, what::failed) << name;
        EXPECT_EQ(end.error.state, sqlstate::pooler_between) << name;
        EXPECT_NE(end.error.message.find("pool_mode = session"), std::string::npos);
    }
}

TEST(pg_connect_machine, G06_a_pooler_whose_mode_cannot_be_told_is_not_trusted) {
    auto machine = through_a_pooler();
    const auto end = machine.compared(
        {{1}, {}, pg_error{.state = sqlstate::unable_to_connect, .message = "full"}});
    EXPECT_EQ(end.next, what::failed);
    EXPECT_EQ(end.error.state, sqlstate::unable_to_connect) << "it may be tried again";
    EXPECT_NE(end.error.message.find("pooler"), std::string::npos);
    EXPECT_NE(end.error.message.find("full"), std::string::npos);
}

TEST(pg_connect_machine, a_first_query_that_fails_keeps_its_own_state) {
    connect_machine machine = probing();
    const auto end = machine.probed(42, std::nullopt,
                                    {.state = sqlstate::too_many_connections, .message = "full"});
    EXPECT_EQ(end.error.state, sqlstate::too_many_connections);
}

TEST(pg_connect_machine, an_event_out_of_order_is_a_bug) {
    connect_machine machine;
    EXPECT_THROW((void)machine.waited(true), std::logic_error);
    (void)machine.begin(false);
    EXPECT_THROW((void)machine.polled(poll_answer::ok, 1, ""), std::logic_error);
    EXPECT_THROW((void)machine.probed(1, 1, {}), std::logic_error);
}

TEST(pg_conninfo, names_need_a_look_up_and_addresses_do_not) {
    EXPECT_FALSE(parse_hosts("host=/tmp dbname=x").needs_look_up());
    EXPECT_FALSE(parse_hosts("dbname=x").needs_look_up());
    EXPECT_FALSE(parse_hosts("host=127.0.0.1").needs_look_up());
    EXPECT_FALSE(parse_hosts("host=::1").needs_look_up());
    EXPECT_FALSE(parse_hosts("host=db.example hostaddr=10.0.0.1").needs_look_up());
    EXPECT_TRUE(parse_hosts("host=db.example").needs_look_up());
    EXPECT_TRUE(parse_hosts("postgresql://u@127.0.0.1,db.example/x").needs_look_up());
    EXPECT_EQ(parse_hosts("host=a,b").hosts, (std::vector<std::string>{"a", "b"}));
}

TEST(pg_conninfo, an_unreadable_one_is_not_quoted) {
    const auto bad = parse_hosts("password=secret123 nonsense");
    EXPECT_FALSE(bad.problem.empty());
    EXPECT_EQ(bad.problem.find("secret123"), std::string::npos);
}

}  // namespace
}  // namespace insula::pg::detail
