// Not a test: what the engine costs, printed. Run it by hand against a real cluster (fsync on), in
// a release build:
//   INSULA_TEST_POSTGRES=/socket/folder:5432 integration_queue --gtest_also_run_disabled_tests
//       --gtest_filter='queue_measure.*'

#include "journey.hpp"
#include "world.hpp"

#include "insula/queue/registry.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <vector>

namespace insula::queue::test_support {
namespace {

using clock = std::chrono::steady_clock;
constexpr pg::statement add_effect{
    "t.effect", "insert into t.effect (run, step, direction) values ($1, $2, 1)"};
std::atomic<clock::time_point::rep> picked_up{0};

template <bool Joined>
class three {
public:
    static constexpr std::string_view kind = Joined ? "measure.joined" : "measure.three";
    using input = journey_input;
    runtime::awaitable<step_result<>> work(database_step& step, const input&) const {
        picked_up = clock::now().time_since_epoch().count();
        step.deferred().add(add_effect, step.run(), step.name());
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<three>({
            {.name = "one", .run = &three::work},
            {.name = "two", .run = &three::work, .joins_previous = Joined},
            {.name = "three", .run = &three::work, .joins_previous = Joined},
        });
    }
};

const registry& measured() {
    static const registry all = [] {
        registry r;
        r.add(three<false>()).add(three<true>());
        return r;
    }();
    return all;
}

void print_spread(const char* what, std::vector<double>& ms) {
    std::sort(ms.begin(), ms.end());
    std::printf("%-34s p50 %.2f ms  p90 %.2f ms  p99 %.2f ms\n", what, ms[ms.size() / 2],
                ms[ms.size() * 9 / 10], ms[ms.size() * 99 / 100]);
}

class queue_measure : public testing::TestWithParam<runtime::backend> {};

TEST_P(queue_measure, DISABLED_pickup_when_idle) {
    world w;
    auto options = quick(10'000ms);
    options.poll = 1'000ms;
    options.workers = 16;
    process p(w.worker_conninfo(), measured(), options, GetParam());
    ASSERT_TRUE(w.becomes("select count(*) from queue.worker", "1"));
    std::vector<double> pickup, end;
    for (int i = 0; i < 300; ++i) {
        const run_id id = run_id::make();
        const auto one = [](process& p_, run_id id_) -> runtime::awaitable<clock::time_point> {
            auto changed = p_.engine().changes().subscribe(p_.thread().loop(), id_);
            pg::unit work;
            add_enqueue(work, id_, request_for<three<true>>({}));
            (void)co_await p_.pool().run(std::move(work), runtime::deadline::after(5s));
            const auto committed = clock::now();
            p_.engine().wake();
            (void)co_await changed.next(runtime::deadline::after(5s));
            co_return committed;
        };
        const auto committed = p.thread().run(one(p, id));
        const auto ms = [&](clock::time_point at) {
            return std::chrono::duration<double, std::milli>(at - committed).count();
        };
        end.push_back(ms(clock::now()));
        pickup.push_back(ms(clock::time_point(clock::duration(picked_up.load()))));
        std::this_thread::sleep_for(3ms);  // idle again
    }
    print_spread("commit to first line of a step", pickup);
    print_spread("commit to end of a joined workflow", end);
}

void measure_throughput(const char* what, std::string_view kind, runtime::backend backend) {
    constexpr int runs = 4000;
    world w;
    w.db().query_admin(
        "select queue.enqueue(gen_random_uuid(), '" + std::string(kind) +
        "', 1, 0::smallint, 0::smallint, null, null, null, '1 day', null, null, '0', null, '" +
        encode_input(journey_input{}) + "') from generate_series(1, " + std::to_string(runs) + ")");
    w.db().query_admin("vacuum analyze");
    auto options = quick(10'000ms);
    options.workers = 16;
    const auto begun = clock::now();
    process p(w.worker_conninfo(), measured(), options, backend);
    ASSERT_TRUE(w.becomes("select count(*) from queue.run", "0", 120s));
    const double seconds = std::chrono::duration<double>(clock::now() - begun).count();
    std::printf("%-34s %.0f workflows/s (%.0f steps/s)\n", what, runs / seconds,
                3 * runs / seconds);
    EXPECT_TRUE(w.in_order());
}

TEST_P(queue_measure, DISABLED_three_steps_a_transaction_each) {
    measure_throughput("3 steps, a transaction each", "measure.three", GetParam());
}
TEST_P(queue_measure, DISABLED_three_steps_in_one_transaction) {
    measure_throughput("3 steps in one transaction", "measure.joined", GetParam());
}

INSTANTIATE_TEST_SUITE_P(both, queue_measure,
                         testing::Values(runtime::backend::io_uring, runtime::backend::epoll),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
