// What a tenant-scoped unit of work costs, on a private PostgreSQL of its own (as `insula dev` runs
// it):
//
//   ninja -C build/bench tenant_bench && build/bench/bench/tenant_bench --benchmark_repetitions=5
//       --benchmark_enable_random_interleaving=true
//
// Same row, same prepared read, one connection; `depth` requests are in flight at once.
// `backend_us` is CPU time (utime + stime) of the PostgreSQL backend per read; `trips` are Syncs
// per read. Set beside the same read without any tenancy.

#include "insula/app/database_setup.hpp"
#include "insula/app/embedded_postgres.hpp"
#include "insula/core/base64.hpp"
#include "insula/core/random.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/pg/transaction.hpp"
#include "insula/runtime/event.hpp"
#include "insula/tenancy/scope.hpp"

#include <boost/asio/co_spawn.hpp>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace insula {
namespace {

constexpr int tenants_max = 200;
constexpr pg::statement read_project{"bench.read",
                                     "select id, name, description, version, created_at, updated_at"
                                     " from {t}.projects where id = $1"};
constexpr pg::statement read_plain{"bench.plain",
                                   "select id, name, description, version, created_at, updated_at"
                                   " from bench.projects where id = $1"};

template <class T, class E>
T must(boost::system::result<T, E> answer) {
    if (!answer) {
        if constexpr (requires { answer.error().message; }) {
            throw std::runtime_error("the database answered: " + answer.error().message);
        } else {
            throw std::runtime_error("the bench failed: " + answer.error().describe());
        }
    }
    return std::move(*answer);
}

void must(result<> answer) {
    if (!answer) {
        throw std::runtime_error(answer.error().describe());
    }
}

struct connection_closer {
    void operator()(PGconn* c) const { PQfinish(c); }
};
using blocking_connection = std::unique_ptr<PGconn, connection_closer>;

void run_sql(PGconn* on, const std::string& sql) {
    PGresult* answer = PQexec(on, sql.c_str());
    const auto status = PQresultStatus(answer);
    const std::string message = PQresultErrorMessage(answer);
    PQclear(answer);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        throw std::runtime_error(message + sql);
    }
}

/// CPU microseconds of all backends of a login.
double backend_cpu_us(PGconn* admin, const std::string& login) {
    PGresult* pids =
        PQexec(admin, ("select pid from pg_stat_activity where usename = '" + login + "'").c_str());
    double total = 0;
    for (int i = 0; i < PQntuples(pids); ++i) {
        std::ifstream stat(std::string("/proc/") + PQgetvalue(pids, i, 0) + "/stat");
        std::string text;
        std::getline(stat, text);
        std::istringstream rest(text.substr(text.rfind(')') + 2));
        std::string word;
        for (int field = 0; field < 13 && rest >> word; ++field) {
            total += field >= 11 ? std::stod(word) : 0;
        }
    }
    PQclear(pids);
    return total * 1e6 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

/// The installation under test; made once, ended with the program.
class world {
public:
    static world& get() {
        static world only;
        return only;
    }

    pg::pool& cell() { return *cell_; }
    pg::pool& app() { return *app_; }
    runtime::loop& loop() { return *loop_; }
    const tenancy::cells& cells() { return *cells_; }
    PGconn* admin() { return admin_.get(); }
    const tenancy::tenant_entry& tenant(int n) { return *tenants_.at(static_cast<std::size_t>(n)); }
    std::shared_ptr<const tenancy::tenant_entry> tenant_ptr(int n) {
        return tenants_.at(static_cast<std::size_t>(n));
    }
    project_id project() const { return project_; }

private:
    world();
    ~world();
    void make_tenants();

    std::filesystem::path folder_;
    std::optional<app::embedded_postgres> server_;
    blocking_connection admin_;
    observe::metrics metrics_;
    pg::connection_budget budget_{16};
    std::unique_ptr<runtime::loop> loop_;
    std::unique_ptr<pg::pool> cell_;
    std::unique_ptr<pg::pool> app_;
    std::unique_ptr<tenancy::cells> cells_;
    std::vector<std::shared_ptr<const tenancy::tenant_entry>> tenants_;
    project_id project_ = project_id::make();
    std::thread thread_;
};

world::world() {
    std::string path = "/tmp/insula-bench-XXXXXX";
    folder_ = ::mkdtemp(path.data());
    std::filesystem::permissions(folder_, std::filesystem::perms(0755));
    auto server = app::embedded_postgres::start({.data_directory = folder_});
    if (!server) {
        throw std::runtime_error(server.error().sentence);
    }
    server_.emplace(std::move(*server));
    app::config values;
    values.cells = 1;
    std::array<std::uint8_t, 32> key{};
    random_bytes(key);
    values.key_encryption_key = base64_encode(key);
    values.database_url =
        fmt::format("host='{}' port=5432 dbname=insula", server_->socket_folder().string());
    const auto administrator = must(app::database_url::parse(server_->admin_conninfo()));
    must(app::bootstrap_database(values, administrator, "insula", false, [](std::string_view) {}));
    (void)must(app::migrate_database(values, false, [](std::string_view) {}));
    admin_.reset(PQconnectdb(server_->admin_conninfo().c_str()));
    make_tenants();

    const auto url = must(app::database_url::parse(values.database_url));
    const auto roles = must(app::roles_of(values));
    const auto secret = must(values.key());
    const auto choice = must(runtime::choose_backend("auto"));
    loop_ = must(runtime::make_loop({.kind = choice.kind}));
    cell_ = std::make_unique<pg::pool>(
        *loop_, pg::pool_options{.name = "cell", .conninfo = url.conninfo(roles.cell(0), secret)},
        budget_, metrics_);
    app_ = std::make_unique<pg::pool>(
        *loop_, pg::pool_options{.name = "app", .conninfo = url.conninfo(roles.app(), secret)},
        budget_, metrics_);
    cells_ = std::make_unique<tenancy::cells>(std::vector<pg::pool*>{cell_.get()});
    thread_ = std::thread([this] { loop_->run(); });
}

world::~world() {
    loop_->stop();
    thread_.join();
    cell_.reset();
    app_.reset();
    admin_.reset();
    server_->stop();
    std::filesystem::remove_all(folder_);
}

void world::make_tenants() {
    const auto row = fmt::format("('{}', 'Measured', 'a row')", project_.str());
    run_sql(
        admin_.get(),
        "create schema bench; create table bench.projects (id uuid primary key, name text not null,"
        " description text, version integer not null default 1, created_at timestamptz not null"
        " default now(), updated_at timestamptz not null default now());"
        "grant usage on schema bench to insula_app; grant select on bench.projects to insula_app;"
        "insert into bench.projects values " +
            row);
    for (int i = 0; i < tenants_max; ++i) {
        const auto id = tenant_id::make();
        const auto slug = "tenant" + std::to_string(i);
        run_sql(
            admin_.get(),
            fmt::format(
                "insert into control.tenant (id, slug, name, cell) values ('{0}', '{1}', '{1}', 0);"
                "select provision.create_tenant('{0}', 0);"
                "insert into {2}.projects (id, name, description) values {3}",
                id.str(), slug, tenancy::tenant_name(id), row));
        tenants_.push_back(
            std::make_shared<const tenancy::tenant_entry>(tenancy::tenant_entry{id, 0, slug}));
    }
    run_sql(admin_.get(), "analyze");
}

// One way to read the row. `n` is the tenant.
using way = runtime::awaitable<void> (*)(world& w, int n);

runtime::deadline soon() {
    return runtime::deadline::after(std::chrono::seconds(30));
}

runtime::awaitable<void> without_tenancy(world& w, int) {
    pg::unit work;
    work.add(read_plain, w.project());
    auto answer = co_await w.app().run(std::move(work), soon());
    benchmark::DoNotOptimize(
        must(answer ? result<int>(answer->front().size()) : result<int>(errc::internal)));
}

runtime::awaitable<void> through_the_scope(world& w, int n) {
    token::claims who;
    who.tenant = w.tenant(n).id;
    tenancy::tenant_scope scope(w.cells(), w.tenant_ptr(n), who, {}, {}, soon());
    auto work = scope.read();
    work.add(read_project, w.project());
    auto answer = co_await scope.run(std::move(work));
    benchmark::DoNotOptimize(
        must(answer ? result<int>(answer->front().size()) : result<int>(errc::internal)));
}

struct burst {
    way how;
    int tenants;
    long left;
    int running = 0;
    std::promise<void> done;
};

runtime::awaitable<void> reader(world& w, std::shared_ptr<burst> all, unsigned seed) {
    std::minstd_rand random(seed);
    while (all->left-- > 0) {
        co_await all->how(w, static_cast<int>(random() % static_cast<unsigned>(all->tenants)));
    }
    if (--all->running == 0) {
        all->done.set_value();
    }
}

void run_burst(world& w, way how, int depth, int tenants, long count) {
    auto all = std::make_shared<burst>();
    all->how = how;
    all->tenants = tenants;
    all->left = count;
    all->running = depth;
    auto done = all->done.get_future();
    for (int i = 0; i < depth; ++i) {
        boost::asio::co_spawn(w.loop().get_executor(), reader(w, all, static_cast<unsigned>(i + 1)),
                              [](std::exception_ptr thrown) {
                                  if (thrown) {
                                      std::rethrow_exception(thrown);
                                  }
                              });
    }
    done.get();
}

void measure(benchmark::State& state, way how, bool tenancy, int depth, int tenants) {
    auto& w = world::get();
    constexpr long per_iteration = 2000;
    const std::string login = tenancy ? "insula_cell_0" : "insula_app";
    run_burst(w, how, depth, tenants, tenants * 20L + 500);  // statements prepared, caches warm
    const auto trips = [&] { return (tenancy ? w.cell() : w.app()).stats().round_trips; };
    const auto trips_before = trips();
    const auto cpu_before = backend_cpu_us(w.admin(), login);
    long reads = 0;
    for (auto _ : state) {
        run_burst(w, how, depth, tenants, per_iteration);
        reads += per_iteration;
    }
    state.SetItemsProcessed(reads);
    state.counters["backend_us"] =
        (backend_cpu_us(w.admin(), login) - cpu_before) / static_cast<double>(reads);
    state.counters["trips"] =
        static_cast<double>(trips() - trips_before) / static_cast<double>(reads);
}

void add(const std::string& name, way how, bool tenancy, int depth, int tenants) {
    benchmark::RegisterBenchmark(
        fmt::format("{}/depth:{}/tenants:{}", name, depth, tenants).c_str(), measure, how, tenancy,
        depth, tenants)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace insula

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    for (const int depth : {1, 4, 16, 64}) {
        insula::add("no_tenancy", insula::without_tenancy, false, depth, 1);
        insula::add("tenant_scope", insula::through_the_scope, true, depth, 1);
        insula::add("tenant_scope", insula::through_the_scope, true, depth, 20);
    }
    insula::add("tenant_scope", insula::through_the_scope, true, 16, 200);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
