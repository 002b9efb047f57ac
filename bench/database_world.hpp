#pragma once
// A private PostgreSQL as `insula dev` runs it, with tenants made in bulk, for tenant_bench and
// pg_bench. INSULA_BENCH_DATA names a folder that is kept with its tenants for the next run.

#include "insula/app/database_setup.hpp"
#include "insula/app/embedded_postgres.hpp"
#include "insula/core/base64.hpp"
#include "insula/core/random.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/pg/pool.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/tenancy/scope.hpp"

#include <boost/asio/co_spawn.hpp>

#include <fmt/format.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace insula::bench {

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
inline void must(result<> answer) {
    if (!answer) {
        throw std::runtime_error(answer.error().describe());
    }
}

struct connection_closer {
    void operator()(PGconn* c) const { PQfinish(c); }
};
using blocking_connection = std::unique_ptr<PGconn, connection_closer>;
struct result_clearer {
    void operator()(PGresult* r) const { PQclear(r); }
};
using blocking_result = std::unique_ptr<PGresult, result_clearer>;

inline blocking_connection open_blocking(const std::string& conninfo) {
    blocking_connection made(PQconnectdb(conninfo.c_str()));
    if (PQstatus(made.get()) != CONNECTION_OK) {
        throw std::runtime_error(PQerrorMessage(made.get()));
    }
    return made;
}

inline blocking_result run_sql(PGconn* on, const std::string& sql) {
    blocking_result answer(PQexec(on, sql.c_str()));
    const auto status = PQresultStatus(answer.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        throw std::runtime_error(PQresultErrorMessage(answer.get()) + sql.substr(0, 200));
    }
    return answer;
}

/// Nanoseconds on a processor, as the scheduler counts them (/proc/PID/schedstat).
inline double cpu_ns_of(int pid) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/schedstat");
    double ns = 0;
    stat >> ns;
    return ns;
}

/// What a process alone holds in memory, in MB: pages nobody else has (smaps_rollup), without the
/// shared buffers it has touched.
inline double private_mb_of(int pid) {
    std::ifstream smaps("/proc/" + std::to_string(pid) + "/smaps_rollup");
    double kb = 0;
    for (std::string word; smaps >> word;) {
        if (word == "Private_Clean:" || word == "Private_Dirty:") {
            double more = 0;
            smaps >> more;
            kb += more;
        }
    }
    return kb / 1024;
}

/// The installation under test; made once, ended with the program.
class world {
    // As src/app/databases.cpp has it.
    static std::size_t statement_bytes() {
        const char* other = std::getenv("INSULA_BENCH_STATEMENT_MIB");
        return (other != nullptr ? std::strtoul(other, nullptr, 10) : 24U) << 20U;
    }

public:
    static constexpr int cells_as_shipped = 16;
    static world& get() {
        static world only;
        return only;
    }
    world(const world&) = delete;
    world& operator=(const world&) = delete;

    runtime::loop& loop() { return *loop_; }
    PGconn* admin() { return admin_.get(); }
    project_id project() const { return project_; }
    const std::string& socket_folder() const { return sockets_; }
    std::string conninfo(const std::string& user) const {
        return fmt::format("host='{}' port=5432 dbname=insula user={} password=bench", sockets_,
                           user);
    }
    /// Conninfo of the login of the service itself, which has rights in no tenant.
    const std::string& app_conninfo() const { return app_conninfo_; }

    /// Makes a login that is a member of nothing yet, where it is missing. Its password is "bench".
    void need_login(const std::string& login);
    /// Makes the tenants that are missing. Number n is the n-th.
    void need_tenants(int count);
    std::shared_ptr<const tenancy::tenant_entry> tenant(int n) const {
        return tenants_.at(static_cast<std::size_t>(n));
    }
    std::string tenant_role(int n) const { return tenancy::tenant_name(tenant(n)->id); }

    /// The tenants spread over so many logins: as shipped, or another number for comparison. A
    /// tenant's entry is of its own kind in each.
    struct layout {
        std::vector<std::unique_ptr<pg::pool>> pools;
        std::unique_ptr<tenancy::cells> cells;
        std::vector<std::shared_ptr<const tenancy::tenant_entry>> tenants;
    };
    layout& cells(int count, int tenants);

    /// Backends of our own pools and peers: by application_name or login.
    std::vector<int> backends_like(const std::string& application);
    double cpu_ns_like(const std::string& application) {
        double sum = 0;
        for (const int pid : backends_like(application)) {
            sum += cpu_ns_of(pid);
        }
        return sum;
    }
    double loop_cpu_ns() const {
        timespec now{};
        ::clock_gettime(loop_clock_, &now);
        return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
    }
    /// A pool that lives as long as the loop: it may go only when that has stopped.
    pg::pool& keep_pool(pg::pool_options options) {
        return *pools_.emplace_back(make_pool(std::move(options)));
    }

private:
    world();
    ~world();
    std::unique_ptr<pg::pool> make_pool(pg::pool_options options) {
        return std::make_unique<pg::pool>(*loop_, std::move(options), budget_, metrics_);
    }
    void make_plain_table();
    void fill_layout(layout& made, int count, std::size_t from);

    bool kept_ = false;
    std::filesystem::path folder_;
    std::string sockets_;
    std::optional<app::embedded_postgres> server_;
    app::config values_;
    std::string app_conninfo_;
    blocking_connection admin_;
    observe::metrics metrics_;
    pg::connection_budget budget_{100};
    std::unique_ptr<runtime::loop> loop_;
    clockid_t loop_clock_{};
    std::vector<std::shared_ptr<const tenancy::tenant_entry>> tenants_;
    std::map<int, layout> layouts_;
    std::vector<std::unique_ptr<pg::pool>> pools_;
    // The same in every tenant and in every run, so that one statement finds it everywhere.
    project_id project_ = project_id::parse("018f3c5e-0000-7000-8000-000000000001").value();
    std::thread thread_;
};

inline world::world() {
    if (const char* kept = std::getenv("INSULA_BENCH_DATA")) {
        folder_ = kept;
        kept_ = true;
        std::filesystem::create_directories(folder_);
    } else {
        std::string path = "/tmp/insula-bench-XXXXXX";
        folder_ = ::mkdtemp(path.data());
    }
    std::filesystem::permissions(folder_, std::filesystem::perms(0755));
    auto server =
        app::embedded_postgres::start({.data_directory = folder_, .connections_max = 300});
    if (!server) {
        throw std::runtime_error(server.error().sentence);
    }
    server_.emplace(std::move(*server));
    sockets_ = server_->socket_folder().string();
    values_.cells = cells_as_shipped;
    const std::array<std::uint8_t, 32> key{1, 2, 3};
    values_.key_encryption_key = base64_encode(key);
    values_.database_url = fmt::format("host='{}' port=5432 dbname=insula", sockets_);
    const auto administrator = must(app::database_url::parse(server_->admin_conninfo()));
    must(app::bootstrap_database(values_, administrator, "insula", false, [](std::string_view) {}));
    (void)must(app::migrate_database(values_, false, [](std::string_view) {}));
    admin_ = open_blocking(server_->admin_conninfo());
    make_plain_table();

    const auto url = must(app::database_url::parse(values_.database_url));
    app_conninfo_ = url.conninfo(must(app::roles_of(values_)).app(), must(values_.key()));
    const auto choice = must(runtime::choose_backend("auto"));
    loop_ = must(runtime::make_loop({.kind = choice.kind}));
    thread_ = std::thread([this] { loop_->run(); });
    ::pthread_getcpuclockid(thread_.native_handle(), &loop_clock_);
}

inline world::~world() {
    loop_->stop();
    thread_.join();
    layouts_.clear();
    pools_.clear();
    admin_.reset();
    server_->stop();
    if (!kept_) {
        std::filesystem::remove_all(folder_);
    }
}

// The same table outside of all tenants; and one with everybody's rows, under a policy.
inline void world::make_plain_table() {
    run_sql(admin(), fmt::format(R"(
set client_min_messages = warning;
create schema if not exists bench;
create table if not exists bench.projects (id uuid primary key, name text not null,
    description text, version integer not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now());
insert into bench.projects values ('{0}', 'Measured', 'a row') on conflict do nothing;
create table if not exists bench.everybodys (tenant uuid not null, id uuid not null,
    name text not null, description text, version integer not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    primary key (tenant, id));
alter table bench.everybodys enable row level security;
drop policy if exists own on bench.everybodys;
create policy own on bench.everybodys using (tenant = current_setting('bench.tenant')::uuid);
do $$ begin
    if to_regrole('bench_user') is null then
        create role bench_user login noinherit password 'bench';
    end if;
end $$;
grant connect on database insula to bench_user;
grant usage on schema bench to insula_app, bench_user;
grant select on bench.projects, bench.everybodys to insula_app, bench_user;)",
                                 project_.str()));
}

inline void world::need_tenants(int count) {
    const auto known = run_sql(admin(), "select id, slug from control.tenant order by slug");
    const auto have = static_cast<std::size_t>(PQntuples(known.get()));
    for (auto i = tenants_.size(); i < have; ++i) {
        const auto row = static_cast<int>(i);
        const auto id = tenant_id::parse(PQgetvalue(known.get(), row, 0)).value();
        tenants_.push_back(std::make_shared<const tenancy::tenant_entry>(tenancy::tenant_entry{
            id, tenancy::choose_cell(id, cells_as_shipped), PQgetvalue(known.get(), row, 1)}));
    }
    const bool grows = tenants_.size() < static_cast<std::size_t>(count);
    run_sql(admin(), "set synchronous_commit = off");
    while (tenants_.size() < static_cast<std::size_t>(count)) {
        std::string sql;
        const auto first = tenants_.size();
        for (auto i = first; i < std::min(first + 50, static_cast<std::size_t>(count)); ++i) {
            const auto id = tenant_id::make();
            const auto slug = fmt::format("tenant{:06}", i);
            const int cell = tenancy::choose_cell(id, cells_as_shipped);
            sql += fmt::format(
                "insert into control.tenant (id, slug, name, cell) values ('{0}', '{1}', '{1}', "
                "{4});"
                "select provision.create_tenant('{0}', {4});"
                "insert into {2}.projects (id, name, description) values ('{3}', 'Measured',"
                " 'a row'); insert into bench.everybodys values ('{0}', '{3}', 'Measured',"
                " 'a row');",
                id.str(), slug, tenancy::tenant_name(id), project_.str(), cell);
            tenants_.push_back(std::make_shared<const tenancy::tenant_entry>(
                tenancy::tenant_entry{id, cell, slug}));
        }
        run_sql(admin(), sql);
        if (tenants_.size() % 1000 == 0) {
            std::cerr << tenants_.size() << " tenants made\n";
        }
    }
    if (grows) {
        run_sql(admin(), "vacuum analyze");
        run_sql(admin(), "checkpoint");
    }
}

inline void world::need_login(const std::string& login) {
    run_sql(admin(),
            fmt::format("do $$ begin if to_regrole('{0}') is null then create role {0} login"
                        " noinherit password 'bench'; end if; end $$; grant connect on database"
                        " insula to {0}",
                        login));
}

inline world::layout& world::cells(int count, int tenants) {
    need_tenants(tenants);
    layout& made = layouts_[count];
    const auto url = must(app::database_url::parse(values_.database_url));
    const auto roles = must(app::roles_of(values_));
    while (made.pools.size() < static_cast<std::size_t>(count)) {
        const auto k = static_cast<int>(made.pools.size());
        const bool shipped = count == cells_as_shipped;
        const auto login = fmt::format("bench_{}_cell_{}", count, k);
        if (!shipped) {
            need_login(login);
        }
        made.pools.push_back(
            make_pool({.name = fmt::format("{}cell{}", count, k),
                       .conninfo = shipped ? url.conninfo(roles.cell(k), must(values_.key()))
                                           : conninfo(login),
                       .statement_bytes_max = statement_bytes()}));
    }
    if (!made.cells) {
        std::vector<pg::pool*> pointers;
        for (const auto& pool : made.pools) {
            pointers.push_back(pool.get());
        }
        made.cells = std::make_unique<tenancy::cells>(std::move(pointers));
    }
    const auto from = made.tenants.size();
    for (auto i = from; i < static_cast<std::size_t>(tenants); ++i) {
        tenancy::tenant_entry entry = *tenants_[i];
        entry.cell = tenancy::choose_cell(entry.id, count);
        made.tenants.push_back(std::make_shared<const tenancy::tenant_entry>(std::move(entry)));
    }
    if (count != cells_as_shipped) {
        fill_layout(made, count, from);
    }
    return made;
}

// The logins of a layout of our own get their tenants' roles.
inline void world::fill_layout(layout& made, int count, std::size_t from) {
    std::map<int, std::string> lists;
    for (auto i = from; i < made.tenants.size(); ++i) {
        auto& list = lists[made.tenants[i]->cell];
        list += (list.empty() ? "" : ", ") + tenancy::tenant_name(made.tenants[i]->id);
    }
    run_sql(admin(), "set client_min_messages = error");  // is already a member
    for (const auto& [cell, list] : lists) {
        run_sql(admin(), fmt::format("grant {} to bench_{}_cell_{}", list, count, cell));
    }
}

inline std::vector<int> world::backends_like(const std::string& application) {
    const auto found = run_sql(
        admin(), fmt::format("select pid from pg_stat_activity where application_name like '{}'"
                             " or usename like '{}'",
                             application, application));
    std::vector<int> pids;
    for (int i = 0; i < PQntuples(found.get()); ++i) {
        pids.push_back(std::atoi(PQgetvalue(found.get(), i, 0)));
    }
    return pids;
}

// Many coroutines that each do the same one after another, until `count` are done.
using work = std::function<runtime::awaitable<void>(unsigned random)>;

/// While it warms up: every tenant as often as any other, so that none is planned for the first
/// time (PostgreSQL plans five executions of each anew) while something is measured.
inline std::atomic<bool> draws_in_turn{false};

struct burst {
    work each;
    long left = 0;
    unsigned turn = 0;
    int running = 0;
    std::promise<void> done;
};

inline runtime::awaitable<void> work_through(std::shared_ptr<burst> all, std::uint64_t seed) {
    while (all->left-- > 0) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        co_await all->each(draws_in_turn ? all->turn++ : static_cast<unsigned>(seed >> 33));
    }
    if (--all->running == 0) {
        all->done.set_value();
    }
}

inline void run_burst(runtime::loop& on, work each, int depth, long count) {
    static std::uint64_t seed = 1;
    auto all = std::make_shared<burst>();
    all->each = std::move(each);
    all->left = count;
    all->running = depth;
    auto done = all->done.get_future();
    for (int i = 0; i < depth; ++i) {
        boost::asio::co_spawn(on.get_executor(), work_through(all, ++seed),
                              [](std::exception_ptr thrown) {
                                  if (thrown) {
                                      std::rethrow_exception(thrown);
                                  }
                              });
    }
    done.get();
}

}  // namespace insula::bench
