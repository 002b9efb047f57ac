#include "world.hpp"

#include "insula/pg/embedded_migrations.hpp"
#include "insula/pg/migrate.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string_view>

namespace insula::queue::test_support {

world::world(test::cluster& where) : db_(test_database::creation::create, where) {
    const std::string p = db_.role_prefix();
    for (const char* role : {"_owner", "_app", "_worker"}) {
        db_.query_admin("create role " + p + role + " login");
    }
    db_.query_admin("create schema queue authorization " + p + "_owner");
    db_.query_admin("revoke all on schema public from public");
    std::string text;
    for (const pg::migration& m : pg::embedded_control_migrations()) {
        if (m.name.starts_with("queue_")) {
            text += pg::expand_roles(m.sql, p);
        }
    }
    test::sql_connection owner(db_.conninfo(p + "_owner"));
    owner.query("begin; " + text + "; commit");
    db_.query_admin(
        "create schema t;"
        "create table t.effect (run uuid not null, step text not null, direction smallint not null,"
        "    n bigserial);"
        "create table t.call (run uuid not null, step text not null, direction smallint not null,"
        "    key text not null, n bigserial);"
        "create table t.note (run uuid not null, what text not null, n bigserial);"
        "create table t.ended (run uuid not null, what text not null, step text not null,"
        "    code text not null);"
        "grant usage on schema t to " +
        p +
        "_worker;"
        "grant all on all tables in schema t to " +
        p +
        "_worker;"
        "grant all on all sequences in schema t to " +
        p + "_worker");
}

run_id world::enqueue(const enqueue_request& what) {
    test::sql_connection app(app_conninfo());
    const run_id id = run_id::make();
    app.query(
        "select queue.enqueue($1, $2, $3, $4, $5, null, $6, $7, '1 day', $8, null,"
        " make_interval(secs => $9::float8 / 1e6), null, $10)",
        {id.str(), what.kind, std::to_string(what.version), std::to_string(what.queue),
         std::to_string(what.priority),
         what.tenant ? std::optional(what.tenant->str()) : std::nullopt, what.key, what.lock_key,
         std::to_string(what.delay.count()), what.input});
    return id;
}

std::string world::state_of(run_id id) {
    const auto found = db_.query_admin("select state from queue.status('" + id.str() + "')");
    return found.empty() ? "none"
                         : std::string(name(static_cast<run_state>(std::stoi(found[0][0]))));
}

testing::AssertionResult world::becomes(const std::string& sql, const std::string& wanted,
                                        std::chrono::milliseconds within) {
    const auto until = std::chrono::steady_clock::now() + within;
    for (;;) {
        const std::string got = text(sql);
        if (got == wanted) {
            return testing::AssertionSuccess();
        }
        if (std::chrono::steady_clock::now() > until) {
            return testing::AssertionFailure() << sql << "\nanswers " << got << ", not " << wanted;
        }
        std::this_thread::sleep_for(3ms);  // between two looks
    }
}

testing::AssertionResult world::ends(run_id id, const std::string& state,
                                     std::chrono::milliseconds within) {
    const auto until = std::chrono::steady_clock::now() + within;
    std::string now;
    while ((now = state_of(id)) != state) {
        if (std::chrono::steady_clock::now() > until) {
            const auto why = db_.query_admin(
                "select error_code, error_internal, undo_error, step,"
                " attempt from queue.status('" +
                id.str() + "')");
            auto failed = testing::AssertionFailure() << "run is " << now << ", not " << state
                                                      << "; effects: " << effects_of(id);
            for (const auto& r : why) {
                failed << "; " << r[0] << " / " << r[1] << " / " << r[2] << " at step " << r[3]
                       << " attempt " << r[4];
            }
            return failed;
        }
        std::this_thread::sleep_for(3ms);  // between two looks
    }
    return testing::AssertionSuccess();
}

testing::AssertionResult world::in_order(std::chrono::milliseconds settle) {
    const auto until = std::chrono::steady_clock::now() + settle;
    for (;;) {
        const auto broken = test::queue_violations(db_, "t.effect", "t.call");
        if (broken.empty()) {
            return testing::AssertionSuccess();
        }
        if (std::chrono::steady_clock::now() > until) {
            auto failed = testing::AssertionFailure();
            for (const std::string& b : broken) {
                failed << b << "\n";
            }
            return failed;
        }
        std::this_thread::sleep_for(20ms);  // what is on its way may still come to rest
    }
}

std::string world::named_worker_conninfo(const insula::test::gate& between) const {
    auto text = between.conninfo(db_.name(), db_.role_prefix() + "_worker");
    return text.replace(text.find("127.0.0.1"), 9, "localhost");
}

std::string world::effects_of(run_id id) {
    std::string all;
    for (const auto& r :
         db_.query_admin("select step || case direction when 1 then '+' else '-' end"
                         " from t.effect where run = '" +
                         id.str() + "' order by n")) {
        all += all.empty() ? r[0] : " " + r[0];
    }
    return all;
}

loop_thread::loop_thread(runtime::backend kind) {
    runtime::loop_options options;
    options.kind = kind;
    auto made = runtime::make_loop(options);
    if (!made) {
        throw std::runtime_error("no loop: " + made.error().describe());
    }
    loop_ = std::move(*made);
    thread_ = std::thread([this] { loop_->run(); });
}

loop_thread::~loop_thread() {
    loop_->stop();
    thread_.join();
}

process::process(std::string worker_conninfo, const registry& known, engine_options options,
                 runtime::backend kind)
    : thread_(kind) {
    pg::pool_options pool;
    pool.name = "worker";
    pool.conninfo = std::move(worker_conninfo);
    pool.exclusive_max = 8;
    pool_ = std::make_unique<pg::pool>(thread_.loop(), pool, budget_, metrics_);
    engine_ = std::make_unique<queue::engine>(thread_.loop(), *pool_, budget_, known,
                                              std::move(options), metrics_, &resolver_);
    runtime::post(thread_.loop(), [this] { engine_->start(); });
}

process::~process() {
    try {
        if (!drained_) {
            drain();
        }
        thread_.run(pool_->close(runtime::deadline::after(5s)));
    } catch (const std::exception& e) {
        ADD_FAILURE() << e.what();
    }
}

bool process::drain(std::chrono::milliseconds within) {
    drained_ = true;
    return thread_.run(engine_->drain(runtime::deadline::after(within)), within + 20s);
}

std::vector<runtime::backend> backends() {
    const char* named = std::getenv("INSULA_RUNTIME");
    const std::string_view only = named != nullptr ? named : "";
    if (only == "epoll") {
        return {runtime::backend::epoll};
    }
    if (only == "io_uring" || only == "auto") {
        return {runtime::backend::io_uring};
    }
    return {runtime::backend::io_uring, runtime::backend::epoll};
}

engine_options quick(std::chrono::milliseconds lease) {
    engine_options options;
    options.workers = 4;
    options.lease = lease;
    options.poll = 50ms;
    options.unknown_kind_delay = 100ms;
    return options;
}

}  // namespace insula::queue::test_support
