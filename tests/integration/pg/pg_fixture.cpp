#include "pg_fixture.hpp"

#include <fmt/format.h>

namespace insula::pg::test_support {

constexpr statement digest{
    "test.digest",
    "select concat_ws('|', current_user, session_user, current_setting('search_path'), "
    "current_setting('lock_timeout'), current_setting('statement_timeout'), "
    "(select string_agg(name || '=' || setting, ',' order by name) from pg_settings "
    " where source = 'session' and name not in ('role', 'lock_timeout', 'statement_timeout')), "
    "(select count(*) from pg_locks where pid = pg_backend_pid() and locktype <> 'virtualxid' "
    " and not (locktype = 'relation' and mode = 'AccessShareLock')), "
    "(select count(*) from pg_class where relpersistence = 't' and pg_table_is_visible(oid)), "
    "(select count(*) from pg_cursors where name <> ''), "
    "(select count(*) from pg_listening_channels()))"};
const statement session_digest = digest;

world::world(std::size_t tenants, insula::test::cluster& where)
    : db_(test_database::creation::create, where) {
    const std::string prefix = db_.role_prefix();
    admin(
        fmt::format("create role {0}_tenant nologin; create role {0}_cell login noinherit; "
                    "create role {0}_owner nologin",
                    prefix));
    admin(
        "create table public.gate (id int primary key, n int not null); "
        "insert into public.gate select g, 0 from generate_series(1, 100) g; "
        "grant all on public.gate to public");
    for (std::size_t i = 0; i < tenants; ++i) {
        add_tenant();
    }
}

void world::add_tenant() {
    tenant t{make_uuid_v7(), {}, {}};
    t.role = "t_" + t.id.hex();
    t.marker = "marker of " + t.id.hex();
    admin(fmt::format(R"(
create role {0} nologin in role {1}_tenant;
grant {0} to {1}_cell;
create schema {0};
grant usage on schema {0} to {0};
create table {0}.whoami (marker text not null);
insert into {0}.whoami values ('{2}');
create table {0}.projects (id int primary key, name text not null unique);
insert into {0}.projects select g, 'project ' || g from generate_series(1, 20) g;
create table {0}.late (id int, ref int references {0}.projects deferrable initially deferred);
grant select, insert, update, delete on all tables in schema {0} to {0};
)",
                      t.role, db_.role_prefix(), t.marker));
    tenants_.push_back(std::move(t));
}

world& shared_world() {
    static world one(8);
    return one;
}

std::vector<runtime::backend> backends() {
    std::vector<runtime::backend> kinds{runtime::backend::epoll};
    if (runtime::choose_backend("io_uring")) {
        kinds.insert(kinds.begin(), runtime::backend::io_uring);
    }
    return kinds;
}

std::string backend_name(const testing::TestParamInfo<runtime::backend>& info) {
    return std::string(runtime::name(info.param));
}

pg_test::pg_test() {
    auto made = runtime::make_loop({.kind = GetParam()});
    if (!made) {
        throw std::runtime_error(made.error().describe());
    }
    home_ = std::move(*made);
    ended_ = std::make_unique<runtime::event>(*home_);
}

awaitable<void> pg_test::give_up(runtime::loop& home) {
    co_await runtime::sleep_for(120s);
    ADD_FAILURE() << "gave up waiting";
    home.stop();
}

awaitable<void> pg_test::counted(awaitable<void> task) {
    std::string thrown;
    try {
        co_await std::move(task);
    } catch (const std::exception& reason) {
        thrown = reason.what();
    }
    if (!thrown.empty()) {
        ADD_FAILURE() << "background task: " << thrown;
    }
    --running_;
    ended_->set();
}

void pg_test::background(awaitable<void> task) {
    ++running_;
    boost::asio::co_spawn(home(), counted(std::move(task)), [](const std::exception_ptr&) {});
}

awaitable<void> pg_test::all_ended() {
    while (running_ != 0) {
        (void)co_await ended_->wait(deadline::never());
    }
}

pool_options pg_test::options(world& where, unsigned exclusive) {
    pool_options o;
    o.name = "test";
    o.conninfo = where.conninfo();
    o.exclusive_max = exclusive;
    return o;
}

std::string describe(const pg_error& error) {
    return fmt::format("{} {} [statement {}{}]", error.state.str(), error.message, error.statement,
                       error.maybe_committed ? ", maybe committed" : "");
}

}  // namespace insula::pg::test_support
