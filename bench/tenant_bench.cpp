// What a tenant-scoped unit of work costs, beside the other ways of keeping tenants apart, on a
// private PostgreSQL of its own (as `insula dev` runs it):
//
//   build/bench/bench/tenant_bench --benchmark_repetitions=5
//       --benchmark_enable_random_interleaving=true --benchmark_filter=scope/
//
// The same row of the same table by its key, prepared. Names say way/depth/tenants: `depth` reads
// are in flight at once, of tenants drawn at random. Counters are per read: `client_us` CPU time of
// the client's thread, `backend_us` of PostgreSQL's backends, `trips` Syncs. Ways of "raw_…" use
// libpq without anything of ours (raw_client.hpp); the others are the service's own pool.
//
// INSULA_BENCH_TENANTS says how many tenants at most (10,000).

#include "beside_pgbench.hpp"
#include "database_world.hpp"
#include "raw_client.hpp"

#include "insula/pg/transaction.hpp"

#include <benchmark/benchmark.h>

#include <set>

namespace insula::bench {
namespace {

constexpr pg::statement read_project{"bench.read",
                                     "select id, name, description, version, created_at, updated_at"
                                     " from {t}.projects where id = $1"};
constexpr pg::statement read_plain{"bench.plain",
                                   "select id, name, description, version, created_at, updated_at"
                                   " from bench.projects where id = $1"};
constexpr const char* columns = "id, name, description, version, created_at, updated_at";

runtime::deadline soon() {
    return runtime::deadline::after(std::chrono::seconds(30));
}

void expect_row(const pg::pg_result<pg::results>& answer) {
    if (!answer || answer->front().size() != 1) {
        throw std::runtime_error("not the row: " +
                                 (answer ? std::string() : answer.error().message));
    }
}

// What is measured: `count` reads, `depth` at once; and where the time went.
struct way {
    std::function<void(int depth, long count)> run;
    std::function<double()> backend_cpu_ns;
    std::function<double()> client_cpu_ns;
    std::function<double()> trips;
    int tenants;
};

void measure(benchmark::State& state, const std::function<way&()>& make, int depth) {
    way& how = make();
    static std::set<way*> warm;
    if (warm.insert(&how).second) {
        // Statements prepared, plans made (PostgreSQL decides after five), caches filled.
        draws_in_turn = true;
        how.run(16, how.tenants * 8L + 2000);
        draws_in_turn = false;
    }
    how.run(depth, 300);
    constexpr long reads_per_iteration = 1000;
    const auto backend = how.backend_cpu_ns();
    const auto client = how.client_cpu_ns();
    const auto trips = how.trips();
    long reads = 0;
    for (auto _ : state) {
        how.run(depth, reads_per_iteration);
        reads += reads_per_iteration;
    }
    state.SetItemsProcessed(reads);
    const auto per_read = [&](double total) { return total / static_cast<double>(reads); };
    state.counters["backend_us"] = per_read(how.backend_cpu_ns() - backend) / 1e3;
    state.counters["client_us"] = per_read(how.client_cpu_ns() - client) / 1e3;
    state.counters["trips"] = per_read(how.trips() - trips);
}

void add(const std::string& name, std::function<way&()> make, int depth) {
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): the library keeps it
    benchmark::RegisterBenchmark(
        name.c_str(),
        [make = std::move(make), depth](benchmark::State& state) { measure(state, make, depth); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
}

// Each way is made when it is first measured, and kept: connections, statements and all.
std::function<way&()> once(std::function<way()> make) {
    auto made = std::make_shared<std::unique_ptr<way>>();
    return [made, make = std::move(make)]() -> way& {
        if (!*made) {
            *made = std::make_unique<way>(make());
        }
        return **made;
    };
}

// --- Ours -------------------------------------------------------------------------------------

using tenants_read = std::vector<std::shared_ptr<const tenancy::tenant_entry>>;

runtime::awaitable<void> read_through_scope(world::layout& of, const tenants_read& all,
                                            unsigned random) {
    const auto& where = all[random % all.size()];
    token::claims who;
    who.tenant = where->id;
    tenancy::tenant_scope scope(*of.cells, where, who, {}, {}, soon());
    auto work = scope.read();
    work.add(read_project, world::get().project());
    expect_row(co_await scope.run(std::move(work)));
}

way scope_of(int cells, world::layout& of, tenants_read all) {
    auto& w = world::get();
    const int tenants = static_cast<int>(all.size());
    return {.run =
                [&of, all = std::move(all)](int depth, long count) {
                    run_burst(
                        world::get().loop(),
                        [&](unsigned random) { return read_through_scope(of, all, random); }, depth,
                        count);
                },
            .backend_cpu_ns =
                [&w, cells] { return w.cpu_ns_like(fmt::format("insula {}cell%", cells)); },
            .client_cpu_ns = [&w] { return w.loop_cpu_ns(); },
            .trips =
                [&of] {
                    double sum = 0;
                    for (const auto& pool : of.pools) {
                        sum += static_cast<double>(pool->stats().round_trips);
                    }
                    return sum;
                },
            .tenants = tenants};
}

way scope(int cells, int tenants) {
    auto& of = world::get().cells(cells, tenants);
    return scope_of(cells, of, {of.tenants.begin(), of.tenants.begin() + tenants});
}

/// One tenant of each cell: as many connections as with thousands of tenants, and as few reads on
/// each of them at once.
way scope_each_cell() {
    constexpr int cells = world::cells_as_shipped;
    auto& of = world::get().cells(cells, 1000);
    std::map<int, std::shared_ptr<const tenancy::tenant_entry>> first;
    for (const auto& one : of.tenants) {
        first.try_emplace(one->cell, one);
    }
    tenants_read all;
    for (const auto& [cell, one] : first) {
        all.push_back(one);
    }
    if (all.size() != static_cast<std::size_t>(cells)) {
        throw std::runtime_error("a cell without a tenant");
    }
    return scope_of(cells, of, std::move(all));
}

runtime::awaitable<void> read_plainly(pg::pool& through, unsigned) {
    pg::unit work;
    work.add(read_plain, world::get().project());
    expect_row(co_await through.run(std::move(work), soon()));
}

way no_tenancy() {
    auto& w = world::get();
    static pg::pool& pool = w.keep_pool({.name = "plain", .conninfo = w.app_conninfo()});
    return {.run =
                [](int depth, long count) {
                    run_burst(
                        world::get().loop(),
                        [](unsigned random) { return read_plainly(pool, random); }, depth, count);
                },
            .backend_cpu_ns = [&w] { return w.cpu_ns_like("insula plain"); },
            .client_cpu_ns = [&w] { return w.loop_cpu_ns(); },
            .trips = [] { return static_cast<double>(pool.stats().round_trips); },
            .tenants = 1};
}

// --- Peers ------------------------------------------------------------------------------------

/// A login that may become any of the first so many tenants, and look without becoming one.
std::string login_for(int tenants) {
    auto& w = world::get();
    (void)w.cells(1, tenants);
    return w.conninfo("bench_1_cell_0");
}

using raw_ptr = std::shared_ptr<raw_client>;

way raw(const raw_ptr& client, make_script what, int tenants, int trips) {
    auto reads = std::make_shared<double>(0);
    return {.run =
                [client, what = std::move(what), reads](int, long count) {
                    client->run(what, count);
                    *reads += static_cast<double>(count);
                },
            .backend_cpu_ns = [client] { return client->backend_cpu_ns(); },
            .client_cpu_ns = [] { return thread_cpu_ns(); },
            .trips = [reads, trips] { return *reads * trips; },
            .tenants = tenants};
}

/// All reads in flight on one connection, in its pipeline.
raw_ptr pipelined(const std::string& login, const std::vector<std::string>& prepare, int depth) {
    return std::make_shared<raw_client>(open_many(login, 1, prepare, true), true, depth);
}

/// A connection for each read in flight; the same for all ways that work so, because PostgreSQL
/// has room for some hundreds only.
raw_ptr connection_each(const std::string& login, int depth) {
    static std::map<int, raw_ptr> made;
    auto& client = made[depth];
    if (!client) {
        client = std::make_shared<raw_client>(open_many(login, depth, {}, false), false, 1);
    }
    return client;
}

/// "rN", prepared on first use of tenant N on the connection, as its role.
std::string prepared_for(PGconn* on, int tenant, bool as_role) {
    static std::map<PGconn*, std::set<int>> known;
    const auto name = "r" + std::to_string(tenant);
    if (known[on].insert(tenant).second) {
        const auto role = world::get().tenant_role(tenant);
        const bool pipeline = PQpipelineStatus(on) != PQ_PIPELINE_OFF;
        if (pipeline) {
            throw std::logic_error("prepare before the pipeline");
        }
        PQsetnonblocking(on, 0);
        run_sql(on, as_role ? "set role " + role : "select 1");
        run_sql(on, fmt::format("prepare {}(uuid) as select {} from {}.projects where id = $1",
                                name, columns, role));
        run_sql(on, "reset role");
        PQsetnonblocking(on, 1);
    }
    return name;
}

const std::string project_text() {
    return world::get().project().str();
}

/// BEGIN, SET LOCAL ROLE, the prepared read, COMMIT: one after another. The kindest form of it:
/// with a search_path instead, the read is planned anew for each tenant.
way raw_begin_set_local(int depth, int tenants, bool search_path) {
    const auto login = login_for(tenants);
    const auto what = [tenants, search_path](PGconn* on, unsigned random) -> script {
        const int n = static_cast<int>(random % static_cast<unsigned>(tenants));
        const auto role = world::get().tenant_role(n);
        if (search_path) {
            return {{.sql = "begin"},
                    {.sql = "set local role " + role},
                    {.sql = fmt::format("set local search_path = {}", role)},
                    {.sql = fmt::format("select {} from projects where id = $1::uuid", columns),
                     .params = {project_text()}},
                    {.sql = "commit"}};
        }
        const auto name = prepared_for(on, n, true);
        return {{.sql = "begin"},
                {.sql = "set local role " + role},
                {.statement = name, .params = {project_text()}},
                {.sql = "commit"}};
    };
    return raw(connection_each(login, depth), what, tenants, search_path ? 5 : 4);
}

/// set_config('search_path', …, false) in front of one prepared statement that names no schema: in
/// one round trip; what the session's next user finds is left to the next user.
way raw_search_path(int depth, int tenants) {
    const auto login = login_for(tenants);
    const std::vector<std::string> prepare{
        "prepare enter(text, text) as select set_config('role', $1, true),"
        " set_config('search_path', $2, false)",
        "set role " + world::get().tenant_role(0),
        "set search_path = " + world::get().tenant_role(0),
        fmt::format("prepare look(uuid) as select {} from projects where id = $1", columns),
        "reset role",
        "reset search_path"};
    const auto what = [tenants](PGconn*, unsigned random) -> script {
        const auto role =
            world::get().tenant_role(static_cast<int>(random % static_cast<unsigned>(tenants)));
        return {{.statement = "enter", .params = {role, role}, .round_trip = false},
                {.statement = "look", .params = {project_text()}}};
    };
    return raw(pipelined(login, prepare, depth), what, tenants, 1);
}

/// One table for all, a policy that compares the tenant's column, the tenant and the same two
/// timeouts by set_config: in one round trip.
way raw_row_security(int depth, int tenants) {
    auto& w = world::get();
    w.need_tenants(tenants);
    const std::vector<std::string> prepare{
        "prepare enter(text, text, text) as select set_config('bench.tenant', $1, true),"
        " set_config('lock_timeout', $2, true), set_config('statement_timeout', $3, true)",
        "set bench.tenant = '" + w.tenant(0)->id.str() + "'",
        fmt::format("prepare look(uuid) as select {} from bench.everybodys where id = $1",
                    columns)};
    const auto what = [tenants](PGconn*, unsigned random) -> script {
        const auto n = static_cast<int>(random % static_cast<unsigned>(tenants));
        return {{.statement = "enter",
                 .params = {world::get().tenant(n)->id.str(), "50", "30000"},
                 .round_trip = false},
                {.statement = "look", .params = {project_text()}}};
    };
    return raw(pipelined(w.conninfo("bench_user"), prepare, depth), what, tenants, 1);
}

/// Nothing but the read, in one round trip.
way raw_bare(int depth) {
    auto& w = world::get();
    const std::vector<std::string> prepare{
        fmt::format("prepare look(uuid) as select {} from bench.projects where id = $1", columns)};
    const auto what = [](PGconn*, unsigned) -> script {
        return {{.statement = "look", .params = {project_text()}}};
    };
    return raw(pipelined(w.conninfo("bench_user"), prepare, depth), what, 1, 1);
}

}  // namespace

void add_all(int tenants_max) {
    for (const int depth : {1, 4, 16, 64}) {
        const auto name = [&](const char* of, int tenants) {
            return fmt::format("{}/{}/{}", of, depth, tenants);
        };
        static const auto plain = once(no_tenancy);
        add(name("no_tenancy", 1), plain, depth);
        for (const int cells : {world::cells_as_shipped, 1}) {
            for (const int tenants : {1, 10, 1000, 10000}) {
                static std::map<std::pair<int, int>, std::function<way&()>> scopes;
                auto& one = scopes[{cells, tenants}];
                if (!one) {
                    one = once([=] { return scope(cells, tenants); });
                }
                if (tenants <= tenants_max) {
                    add(name(cells == 1 ? "scope_one_cell" : "scope", tenants), one, depth);
                }
            }
        }
        add(name("raw_bare", 1), once([=] { return raw_bare(depth); }), depth);
        for (const int tenants : {1, 10, 1000}) {
            // With more each of many connections would prepare while it is measured.
            if (tenants <= 10) {
                add(name("raw_begin_set_local_role", tenants),
                    once([=] { return raw_begin_set_local(depth, tenants, false); }), depth);
            }
            add(name("raw_begin_set_local_search_path", tenants),
                once([=] { return raw_begin_set_local(depth, tenants, true); }), depth);
            add(name("raw_search_path", tenants),
                once([=] { return raw_search_path(depth, tenants); }), depth);
        }
        for (const int tenants : {1, 10, 1000, 10000}) {
            if (tenants <= tenants_max) {
                add(name("raw_row_security", tenants),
                    once([=] { return raw_row_security(depth, tenants); }), depth);
            }
        }
    }
    if (tenants_max >= 1000) {
        add(fmt::format("scope_each_cell/16/{}", world::cells_as_shipped), once(scope_each_cell),
            16);
    }
    for (const int cells : {4, 8, 32}) {
        for (const int tenants : {10, 1000, 10000}) {
            if (tenants <= tenants_max) {
                add(fmt::format("scope_{}_cells/16/{}", cells, tenants),
                    once([=] { return scope(cells, tenants); }), 16);
            }
        }
    }
}

/// "memory APPLICATION BACKENDS LARGEST_MB SUM_MB": what the cells' backends hold at the end.
void report_memory(const char* application) {
    auto& w = world::get();
    double largest = 0;
    double sum = 0;
    const auto pids = w.backends_like(application);
    for (const int pid : pids) {
        largest = std::max(largest, private_mb_of(pid));
        sum += private_mb_of(pid);
    }
    std::cerr << fmt::format("memory {} {} {:.1f} {:.1f}\n", application, pids.size(), largest,
                             sum);
}

}  // namespace insula::bench

int main(int argc, char** argv) {
    if (argc == 4 && std::string_view(argv[1]) == "--pgbench") {
        using namespace insula::bench;
        beside_pgbench(scope(world::cells_as_shipped, 1).run, columns, std::atof(argv[2]),
                       std::atoi(argv[3]));
        return 0;
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    const char* most = std::getenv("INSULA_BENCH_TENANTS");
    insula::bench::add_all(most != nullptr ? std::atoi(most) : 10'000);
    benchmark::RunSpecifiedBenchmarks();
    insula::bench::report_memory("insula 16cell%");
    benchmark::Shutdown();
    return 0;
}
