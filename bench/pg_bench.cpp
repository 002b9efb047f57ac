// The database client alone, without tenants: many units in one pipeline against one after another,
// one shared connection against a pool of them, prepared against not, and reading results.
//
//   build/bench/bench/pg_bench --benchmark_repetitions=5
//       --benchmark_enable_random_interleaving=true
//
// Names say way/concurrent. Counters are per unit: `client_us` CPU time of the client's thread,
// `backend_us` of PostgreSQL's backends, `allocations` calls of operator new.
#include "count_allocations.hpp"
#include "database_world.hpp"
#include "raw_client.hpp"

#include <benchmark/benchmark.h>

namespace insula::bench {
namespace {

constexpr pg::statement read_plain{"bench.plain",
                                   "select id, name, description, version, created_at, updated_at"
                                   " from bench.projects where id = $1"};
// As a list of projects is read: six columns, text of some length.
constexpr pg::statement read_many{
    "bench.many",
    "select $2::uuid as id, 'a project of some length' as name, null::text as description,"
    " n as version, now() as created_at, now() as updated_at from generate_series(1, $1::int4) n"};

runtime::deadline soon() {
    return runtime::deadline::after(std::chrono::seconds(30));
}

void expect_row(const pg::pg_result<pg::results>& answer) {
    if (!answer || answer->front().size() != 1) {
        throw std::runtime_error("not the row: " +
                                 (answer ? std::string() : answer.error().message));
    }
}

runtime::awaitable<void> prepared(pg::pool& through) {
    pg::unit work;
    work.add(read_plain, world::get().project());
    expect_row(co_await through.run(std::move(work), soon()));
}

runtime::awaitable<void> not_prepared(pg::pool& through) {
    pg::unit work;
    work.add_once(std::string(read_plain.text), world::get().project());
    expect_row(co_await through.run(std::move(work), soon()));
}

// A connection of its own for each unit, from a pool of them.
runtime::awaitable<void> on_a_lease(pg::pool& through) {
    auto lent = co_await through.acquire(soon());
    pg::lease mine = must(std::move(lent));
    pg::unit work;
    work.add(read_plain, world::get().project());
    expect_row(co_await mine.exec(std::move(work)));
}

using each_unit = runtime::awaitable<void> (*)(pg::pool&);

struct kind {
    const char* name;
    each_unit unit;
    unsigned pipeline_max;
    unsigned shared_max;
    unsigned exclusive_max;
};
constexpr std::array<kind, 6> kinds{{{"pipelined", prepared, 64, 1, 1},
                                     {"one_at_a_time", prepared, 1, 1, 1},
                                     {"one_at_a_time_4_connections", prepared, 1, 4, 1},
                                     {"one_at_a_time_16_connections", prepared, 1, 16, 1},
                                     {"lease_of_16", on_a_lease, 64, 1, 16},
                                     {"not_prepared", not_prepared, 64, 1, 1}}};

pg::pool& pool_of(const kind& of) {
    static std::map<const char*, pg::pool*> pools;
    auto& pool = pools[of.name];
    if (pool == nullptr) {
        auto& w = world::get();
        pool = &w.keep_pool({.name = of.name,
                             .conninfo = w.app_conninfo(),
                             .shared_max = of.shared_max,
                             .exclusive_max = of.exclusive_max,
                             .pipeline_max = of.pipeline_max});
    }
    return *pool;
}

void through_pool(benchmark::State& state, const kind& of, int depth) {
    auto& w = world::get();
    pg::pool& pool = pool_of(of);
    const auto each = [&of, &pool](unsigned) { return of.unit(pool); };
    run_burst(w.loop(), each, depth, 1000);
    constexpr long units_per_iteration = 1000;
    const auto application = std::string("insula ") + of.name;
    const auto backend = w.cpu_ns_like(application);
    const auto client = w.loop_cpu_ns();
    const auto allocated = allocations.load();
    long units = 0;
    for (auto _ : state) {
        run_burst(w.loop(), each, depth, units_per_iteration);
        units += units_per_iteration;
    }
    const auto made = allocations.load() - allocated;
    const auto per_unit = [&](double total) { return total / static_cast<double>(units); };
    state.SetItemsProcessed(units);
    state.counters["backend_us"] = per_unit(w.cpu_ns_like(application) - backend) / 1e3;
    state.counters["client_us"] = per_unit(w.loop_cpu_ns() - client) / 1e3;
    state.counters["allocations"] = per_unit(static_cast<double>(made));
}

/// libpq, blocking as in most programs: the same three settings and the read as BEGIN, settings,
/// read, COMMIT would be four round trips; this is the read alone, in one.
void raw_one_at_a_time(benchmark::State& state) {
    auto& w = world::get();
    static raw_client client(
        open_many(w.conninfo("bench_user"), 1,
                  {"prepare look(uuid) as select id, name, description, version, created_at,"
                   " updated_at from bench.projects where id = $1"},
                  false),
        false, 1);
    const auto what = [](PGconn*, unsigned) -> script {
        return {{.statement = "look", .params = {world::get().project().str()}}};
    };
    const auto backend = client.backend_cpu_ns();
    const auto used = thread_cpu_ns();
    long units = 0;
    for (auto _ : state) {
        client.run(what, 1000);
        units += 1000;
    }
    state.SetItemsProcessed(units);
    state.counters["backend_us"] =
        (client.backend_cpu_ns() - backend) / 1e3 / static_cast<double>(units);
    state.counters["client_us"] = (thread_cpu_ns() - used) / 1e3 / static_cast<double>(units);
    state.counters["allocations"] = 0;
}

runtime::awaitable<void> fetch(pg::pool& through, std::int32_t rows, pg::results& into) {
    pg::unit work;
    work.add(read_many, rows, world::get().project());
    into = must(co_await through.run(std::move(work), soon()));
}

/// Reading every column of a result that is there.
void decode(benchmark::State& state) {
    auto& w = world::get();
    static pg::pool& pool = w.keep_pool({.name = "decode", .conninfo = w.app_conninfo()});
    const auto rows = static_cast<std::int32_t>(state.range(0));
    pg::results answer;
    run_burst(w.loop(), [&](unsigned) { return fetch(pool, rows, answer); }, 1, 1);
    const auto allocated = allocations.load();
    for (auto _ : state) {
        std::int64_t sum = 0;
        for (const pg::row row : answer.front()) {
            sum += row.get<project_id>(0).value().bytes[0];
            sum += static_cast<std::int64_t>(row.get<std::string_view>(1).size());
            sum += row.get<std::optional<std::string_view>>(2) ? 1 : 0;
            sum += row.get<std::int32_t>(3);
            sum += row.get<timestamp>(4).time_since_epoch().count();
            sum += row.get<timestamp>(5).time_since_epoch().count();
        }
        benchmark::DoNotOptimize(sum);
    }
    state.counters["allocations"] = static_cast<double>(allocations.load() - allocated) /
                                    static_cast<double>(state.iterations());
    state.SetItemsProcessed(state.iterations() * rows);
}
BENCHMARK(decode)->Arg(1)->Arg(100)->Arg(1000);

/// Asking for so many rows and reading none.
void fetch_rows(benchmark::State& state) {
    auto& w = world::get();
    static pg::pool& pool = w.keep_pool({.name = "fetch", .conninfo = w.app_conninfo()});
    const auto rows = static_cast<std::int32_t>(state.range(0));
    pg::results answer;
    const auto each = [&](unsigned) { return fetch(pool, rows, answer); };
    run_burst(w.loop(), each, 1, 50);
    const auto client = w.loop_cpu_ns();
    long units = 0;
    for (auto _ : state) {
        run_burst(w.loop(), each, 1, 100);
        units += 100;
    }
    state.counters["client_us"] = (w.loop_cpu_ns() - client) / 1e3 / static_cast<double>(units);
    state.SetItemsProcessed(units * rows);
}
BENCHMARK(fetch_rows)->Arg(1)->Arg(100)->Arg(1000)->UseRealTime();

}  // namespace

void add_all() {
    for (const kind& each : kinds) {
        for (const int depth : {1, 16, 64}) {
            benchmark::RegisterBenchmark(
                fmt::format("{}/{}", each.name, depth).c_str(),
                [&each, depth](benchmark::State& state) { through_pool(state, each, depth); })
                ->UseRealTime()
                ->Unit(benchmark::kMillisecond);
        }
    }
    benchmark::RegisterBenchmark("raw_libpq/1", raw_one_at_a_time)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
}

}  // namespace insula::bench

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    insula::bench::add_all();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
