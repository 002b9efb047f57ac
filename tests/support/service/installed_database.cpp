#include "installed_database.hpp"

#include "insula/app/database_setup.hpp"
#include "insula/core/base64.hpp"
#include "insula/core/random.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <stdexcept>

namespace insula::test {
namespace {

app::config values_for(const test_database& database) {
    app::config values;
    values.database_url =
        fmt::format("host='{}' port={} dbname='{}'", database.home().socket_folder(),
                    database.home().port(), database.name());
    values.role_prefix = database.role_prefix();
    values.cells = installed_cells;
    std::array<std::uint8_t, 32> key{};
    random_bytes(key);
    values.key_encryption_key = base64_encode(key);
    if (const char* backend = std::getenv("INSULA_RUNTIME")) {
        values.runtime = backend;
    }
    return values;
}

template <class T>
T checked(result<T> answer) {
    if (!answer) {
        throw std::runtime_error(answer.error().describe());
    }
    return std::move(*answer);
}

}  // namespace

installed_database::installed_database(cluster& where)
    : database_(test_database::creation::create, where),
      values_(values_for(database_)),
      key_(checked(values_.key())),
      roles_(checked(app::roles_of(values_))),
      url_(checked(app::database_url::parse(values_.database_url))) {
    const auto silent = [](std::string_view) {};
    const auto administrator = checked(app::database_url::parse(database_.admin_conninfo()));
    if (auto done =
            app::bootstrap_database(values_, administrator, database_.name(), false, silent);
        !done) {
        throw std::runtime_error(done.error().describe());
    }
    (void)checked(app::migrate_database(values_, false, silent));
}

installed_database::tenant installed_database::make_tenant(int cell, std::string slug) {
    tenant made{tenant_id::make(), cell, std::move(slug), user_id::make(), session_id::make()};
    sql_connection worker(conninfo(roles_.worker()));
    worker.query(
        "insert into control.account (id, email, email_canonical, full_name, password_hash)"
        " values ($1, $2, $2, 'Owner', 'x')",
        {made.owner.str(), made.slug + "@example.org"});
    worker.query("insert into control.tenant (id, slug, name, cell) values ($1, $2, $2, $3)",
                 {made.id.str(), made.slug, std::to_string(cell)});
    worker.query(
        "insert into control.membership (tenant_id, user_id, role, status)"
        " values ($1, $2, 'owner', 'active')",
        {made.id.str(), made.owner.str()});
    worker.query("select provision.create_tenant($1, $2)", {made.id.str(), std::to_string(cell)});
    worker.query("update control.tenant set status = 'ready' where id = $1", {made.id.str()});
    sql_connection app(conninfo(roles_.app()));
    app.query(
        "insert into control.session (id, user_id, tenant_id, expires_at)"
        " values ($1, $2, $3, now() + interval '1 day')",
        {made.session.str(), made.owner.str(), made.id.str()});
    return made;
}

running_loop::running_loop() {
    const char* backend = std::getenv("INSULA_RUNTIME");
    const auto choice = checked(runtime::choose_backend(backend != nullptr ? backend : "auto"));
    loop_ = checked(runtime::make_loop({.kind = choice.kind}));
    thread_ = std::thread([this] { loop_->run(); });
}

running_loop::~running_loop() {
    loop_->stop();
    thread_.join();
}

void running_loop::await(runtime::awaitable<void> work) {
    std::promise<void> promise;
    auto future = promise.get_future();
    boost::asio::co_spawn(loop_->get_executor(), std::move(work), [&](std::exception_ptr thrown) {
        if (thrown) {
            promise.set_exception(thrown);
        } else {
            promise.set_value();
        }
    });
    future.get();
}

test_pools::test_pools(runtime::loop& home, const installed_database& database)
    : control(home, {.name = "app", .conninfo = database.conninfo(database.roles().app())}, budget,
              metrics),
      worker(home,
             {.name = "worker",
              .conninfo = database.conninfo(database.roles().worker()),
              .exclusive_max = 8},
             budget, metrics) {
    for (int k = 0; k < installed_cells; ++k) {
        cells.push_back(std::make_unique<pg::pool>(
            home,
            pg::pool_options{.name = fmt::format("cell_{}", k),
                             .conninfo = database.conninfo(database.roles().cell(k))},
            budget, metrics));
    }
}

std::vector<pg::pool*> test_pools::cell_pointers() const {
    std::vector<pg::pool*> all;
    for (const auto& cell : cells) {
        all.push_back(cell.get());
    }
    return all;
}

runtime::awaitable<void> test_pools::close() {
    const auto until = runtime::deadline::after(std::chrono::seconds(5));
    for (auto& cell : cells) {
        co_await cell->close(until);
    }
    co_await worker.close(until);
    co_await control.close(until);
}

}  // namespace insula::test
