// What a request pays for being decided from memory: silence, the lock, and the look at sessions,
// accounts and tenants, by how much is remembered.
//   cmake -S . -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DINSULA_BENCH=ON
//   ninja -C build/bench tenancy_bench && build/bench/bench/tenancy_bench
#include "tenancy/revocations_state.hpp"

#include <benchmark/benchmark.h>

#include <memory>

namespace {

using namespace insula;
using namespace insula::tenancy;

struct remembered {
    explicit remembered(std::int64_t entries) {
        const auto now = runtime::steady_clock::now();
        for (std::int64_t i = 0; i < entries / 2; ++i) {
            known.apply({.subject = session_id::make().value(), .version = {}}, now);
            known.apply({.what = feed_change::kind::tenant,
                         .subject = tenant_id::make().value(),
                         .version = {},
                         .status = tenant_status::suspended},
                        now);
        }
        for (auto& one : people) {
            one.subject = user_id::make();
            one.session = session_id::make();
            one.tenant = tenant_id::make();
            one.session_version = 1;
        }
        hearing.heard(now + std::chrono::hours(1));
    }

    std::shared_mutex guard;
    revoked_set known{400'000, std::chrono::minutes(20)};
    feed_hearing hearing{std::chrono::seconds(1)};
    std::array<token::claims, 1000> people;
};

void check(benchmark::State& state) {
    static std::unique_ptr<remembered> memory;
    if (state.thread_index() == 0) {
        memory = std::make_unique<remembered>(state.range(0));
    }
    std::size_t next = 0;
    for (auto _ : state) {
        bool good = !memory->hearing.silent();
        const std::shared_lock lock(memory->guard);
        good = memory->known.check(memory->people[next++ % 1000]) == verdict::good && good;
        benchmark::DoNotOptimize(good);
    }
}
BENCHMARK(check)->Arg(0)->Arg(2000)->Arg(200'000)->Threads(1)->Threads(2);

}  // namespace

BENCHMARK_MAIN();
