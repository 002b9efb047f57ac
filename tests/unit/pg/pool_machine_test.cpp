#include "pg/detail/pool_machine.hpp"

#include "pg/detail/budget.hpp"
#include "pg/detail/waiters.hpp"

#include <gtest/gtest.h>

#include <random>

namespace insula::pg::detail {
namespace {

using namespace std::chrono_literals;
using action = pool_machine::decision::what;
using time = backoff::clock::time_point;

const time t0{1h};

TEST(pg_pool_machine, opens_on_demand_lends_and_takes_back) {
    pool_machine machine(2, 500ms);
    EXPECT_EQ(machine.plan(t0, 0).action, action::nothing);
    const auto open = machine.plan(t0, 1);
    EXPECT_EQ(open.action, action::open);
    EXPECT_EQ(machine.plan(t0, 1).action, action::nothing)
        << "one waiter, one connection on its way";
    EXPECT_EQ(machine.plan(t0, 2).action, action::open);
    EXPECT_EQ(machine.plan(t0, 3).action, action::nothing) << "no more places";
    machine.opened(open.node, t0);
    const auto lend = machine.plan(t0, 1);
    EXPECT_EQ(lend.action, action::lend);
    EXPECT_EQ(lend.node, open.node);
    machine.given_back(lend.node, t0 + 1s);
    EXPECT_EQ(machine.state(lend.node), node_state::idle);
}

TEST(pg_pool_machine, lends_the_one_used_last_so_that_the_others_grow_old) {
    pool_machine machine(3, 500ms);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(machine.plan(t0, 3).action, action::open);
    }
    for (std::size_t i = 0; i < 3; ++i) {
        machine.opened(i, t0 + std::chrono::seconds(i));
    }
    EXPECT_EQ(machine.plan(t0 + 5s, 1).node, 2U);
    EXPECT_EQ(machine.take_expired(t0), 0U);
    EXPECT_EQ(machine.take_expired(t0), std::nullopt);
    EXPECT_EQ(machine.state(0), node_state::vacant);
}

TEST(pg_pool_machine, G52_while_the_server_is_away_one_attempt_at_a_time_after_a_pause) {
    pool_machine machine(8, 500ms);
    const auto first = machine.plan(t0, 100);
    machine.open_failed(first.node, t0, 0.5);
    EXPECT_TRUE(machine.failing());
    const auto wait = machine.plan(t0, 100);
    EXPECT_EQ(wait.action, action::wait);
    EXPECT_GT(wait.until, t0);
    EXPECT_EQ(machine.plan(wait.until, 100).action, action::open);
    EXPECT_EQ(machine.plan(wait.until, 100).action, action::nothing) << "one at a time";
    machine.opened(0, wait.until);
    EXPECT_FALSE(machine.failing());
    EXPECT_EQ(machine.plan(wait.until, 100).action, action::lend);
    EXPECT_EQ(machine.plan(wait.until, 100).action, action::open)
        << "it is back: as many as are needed";
    EXPECT_EQ(machine.plan(wait.until, 100).action, action::open);
}

TEST(pg_pool_machine, G52_an_attempt_that_hangs_does_not_hold_up_a_second) {
    pool_machine machine(8, 500ms);
    const auto hangs = machine.plan(t0, 1);
    EXPECT_EQ(hangs.action, action::open);
    EXPECT_FALSE(hangs.second);
    EXPECT_EQ(machine.plan(t0 + attempt_patience - 1ms, 1).action, action::nothing);
    const auto second = machine.plan(t0 + attempt_patience, 1);
    EXPECT_EQ(second.action, action::open);
    EXPECT_TRUE(second.second);
    EXPECT_EQ(machine.plan(t0 + attempt_patience, 100).action, action::nothing) << "and no third";
    machine.open_cancelled(second.node);
    EXPECT_FALSE(machine.failing()) << "it was given little time, and nobody refused it";
    EXPECT_TRUE(machine.plan(t0 + 2 * attempt_patience, 1).second) << "but another in its place";
    machine.opened(hangs.node, t0 + 3 * attempt_patience);
    EXPECT_EQ(machine.plan(t0 + 3 * attempt_patience, 1).action, action::lend);
}

TEST(pg_pool_machine, an_event_in_the_wrong_state_is_a_bug) {
    pool_machine machine(1, 500ms);
    EXPECT_THROW(machine.opened(0, t0), std::logic_error);
    EXPECT_THROW(machine.given_back(0, t0), std::logic_error);
    EXPECT_THROW(machine.dropped(0), std::logic_error);
    (void)machine.plan(t0, 1);
    EXPECT_THROW(machine.given_back(0, t0), std::logic_error);
    machine.open_cancelled(0);
    EXPECT_FALSE(machine.failing());
}

TEST(pg_pool_machine, random_histories_never_lend_one_twice) {
    std::random_device device;
    const unsigned seed = device();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 dice(seed);
    pool_machine machine(5, 500ms);
    std::vector<node_state> model(5, node_state::vacant);
    time now = t0;
    for (int i = 0; i < 100'000; ++i) {
        now += std::chrono::milliseconds(dice() % 30);
        const auto d = machine.plan(now, dice() % 8);
        if (d.action == action::lend) {
            ASSERT_EQ(model[d.node], node_state::idle);
            model[d.node] = node_state::lent;
        } else if (d.action == action::open) {
            ASSERT_EQ(model[d.node], node_state::vacant);
            model[d.node] = node_state::connecting;
        }
        const std::size_t n = dice() % 5;
        if (model[n] == node_state::connecting) {
            if (dice() % 3 == 0) {
                machine.open_failed(n, now, 0.3);
                model[n] = node_state::vacant;
            } else {
                machine.opened(n, now);
                model[n] = node_state::idle;
            }
        } else if (model[n] == node_state::lent) {
            if (dice() % 4 == 0) {
                machine.dropped(n);
                model[n] = node_state::vacant;
            } else {
                machine.given_back(n, now);
                model[n] = node_state::idle;
            }
        } else if (model[n] == node_state::idle && dice() % 10 == 0) {
            machine.dropped(n);
            model[n] = node_state::vacant;
        }
        for (std::size_t k = 0; k < model.size(); ++k) {
            ASSERT_EQ(machine.state(k), model[k]);
        }
    }
}

TEST(pg_backoff, doubles_to_its_maximum_with_jitter_and_forgets_at_success) {
    backoff pause(500ms);
    time now = t0;
    EXPECT_TRUE(pause.may_try(now));
    for (int i = 0; i < 20; ++i) {
        pause.failed(now, 0.999);
        EXPECT_FALSE(pause.may_try(now));
        EXPECT_LE(pause.next() - now, 500ms);
        now = pause.next();
        EXPECT_TRUE(pause.may_try(now));
    }
    EXPECT_EQ((pause.failed(now, 0.0), pause.next() - now), 250ms)
        << "half of the maximum at the least";
    pause.succeeded();
    EXPECT_TRUE(pause.may_try(t0));
}

TEST(pg_shared_choice, the_shortest_pipeline_with_room_and_growth_when_crowded) {
    using v = std::vector<shared_view>;
    EXPECT_EQ(choose_shared(v{{}, {}}, 64, 16).open, 0U);
    EXPECT_EQ(choose_shared(v{{}, {}}, 64, 16).use, shared_choice::none);
    EXPECT_EQ(choose_shared(v{{.connecting = true}, {}}, 64, 16).open, shared_choice::none)
        << "one at a time";
    const auto calm = choose_shared(v{{.open = true, .in_flight = 3}, {}}, 64, 16);
    EXPECT_EQ(calm.use, 0U);
    EXPECT_EQ(calm.open, shared_choice::none);
    const auto crowded = choose_shared(v{{.open = true, .in_flight = 16}, {}}, 64, 16);
    EXPECT_EQ(crowded.use, 0U);
    EXPECT_EQ(crowded.open, 1U);
    EXPECT_EQ(
        choose_shared(v{{.open = true, .in_flight = 9}, {.open = true, .in_flight = 2}}, 64, 16)
            .use,
        1U);
    EXPECT_EQ(choose_shared(v{{.open = true, .in_flight = 64}}, 64, 16).use, shared_choice::none);
}

struct numbered : waiter_hook {
    int number = 0;
};

TEST(pg_waiters, first_come_first_served_and_anyone_may_leave) {
    waiter_queue<numbered> queue;
    std::array<numbered, 5> all;
    for (int i = 0; i < 5; ++i) {
        all[static_cast<std::size_t>(i)].number = i;
        queue.push(all[static_cast<std::size_t>(i)]);
    }
    queue.remove(all[0]);
    queue.remove(all[2]);
    queue.remove(all[4]);
    queue.remove(all[4]);
    EXPECT_EQ(queue.size(), 2U);
    EXPECT_EQ(queue.pop()->number, 1);
    EXPECT_EQ(queue.pop()->number, 3);
    EXPECT_EQ(queue.pop(), nullptr);
    queue.push(all[4]);
    EXPECT_EQ(queue.pop()->number, 4);
}

struct member final : budget_member {
    int freed = 0;
    int wanted = 0;
    void budget_freed() noexcept override { ++freed; }
    void budget_wanted() noexcept override { ++wanted; }
};

TEST(pg_budget, G65_never_more_than_the_limit_and_first_come_first_told) {
    budget_core budget(2);
    member a;
    member b;
    member c;
    for (auto* m : {&a, &b, &c}) {
        budget.join(*m);
    }
    EXPECT_TRUE(budget.try_take(a));
    EXPECT_TRUE(budget.try_take(a));
    EXPECT_FALSE(budget.try_take(b));
    EXPECT_FALSE(budget.try_take(c));
    EXPECT_GT(a.wanted, 0);
    EXPECT_TRUE(budget.wanted());
    budget.give_back();
    EXPECT_EQ(b.freed, 1);
    EXPECT_EQ(c.freed, 0);
    EXPECT_FALSE(budget.try_take(a)) << "b was first";
    EXPECT_FALSE(budget.try_take(c));
    EXPECT_TRUE(budget.try_take(b));
    EXPECT_EQ(budget.open(), 2U);
    budget.withdraw(c);
    budget.withdraw(a);
    EXPECT_FALSE(budget.wanted());
    for (auto* m : {&a, &b, &c}) {
        budget.leave(*m);
    }
}

TEST(pg_budget, G52_what_was_idle_when_a_peer_fell_silent_is_doubtful) {
    budget_core budget(1);
    const auto before = std::chrono::steady_clock::now();
    EXPECT_FALSE(budget.doubtful(before));
    budget.fell_silent();
    EXPECT_TRUE(budget.doubtful(before));
    EXPECT_FALSE(budget.doubtful(std::chrono::steady_clock::now()));
}

TEST(pg_budget, one_that_leaves_the_queue_passes_its_turn_on) {
    budget_core budget(1);
    member a;
    member b;
    member c;
    for (auto* m : {&a, &b, &c}) {
        budget.join(*m);
    }
    EXPECT_TRUE(budget.try_take(a));
    EXPECT_FALSE(budget.try_take(b));
    EXPECT_FALSE(budget.try_take(c));
    budget.give_back();
    EXPECT_EQ(b.freed, 1);
    budget.withdraw(b);
    EXPECT_EQ(c.freed, 1);
    EXPECT_TRUE(budget.try_take(c));
    for (auto* m : {&a, &b, &c}) {
        budget.leave(*m);
    }
}

}  // namespace
}  // namespace insula::pg::detail
