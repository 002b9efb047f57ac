#include "insula/app/instance.hpp"

#include "descriptors.hpp"
#include "instance_state.hpp"

#include "insula/app/database_setup.hpp"
#include "insula/identity/key_store.hpp"
#include "insula/observe/log.hpp"
#include "insula/pg/embedded_migrations.hpp"
#include "insula/runtime/timer.hpp"
#include "insula/tenancy/bootstrap.hpp"

#include <boost/asio/co_spawn.hpp>

#include <fmt/format.h>

#include <csignal>
#include <cstdlib>

#ifndef INSULA_VERSION
#define INSULA_VERSION "0.1.0"
#endif

namespace insula::app {
namespace {

constexpr std::size_t helper_threads = 2;
constexpr std::size_t helper_queue_max = 256;
// A password waits behind at most so many others per thread, at 20 ms each 1.3 seconds; and not for
// longer than this where they take longer. Who comes when it would be more is refused at once.
constexpr std::size_t hashing_queue_max_per_thread = 64;
constexpr std::chrono::seconds hashing_wait_max{2};
constexpr std::chrono::seconds start_limit{30};
constexpr std::chrono::seconds first_look{2};

constexpr pg::statement highest_cell{"app.highest_cell",
                                     "select coalesce(max(cell), 0)::integer from control.tenant"
                                     " where status not in ('failed', 'gone')"};
constexpr pg::statement read_heads{
    "app.heads",
    "select coalesce((select max(number) from control.migration), 0)::integer,"
    " coalesce((select max(number) from control.tenant_migration), 0)::integer"};

error wrong(std::string sentence) {
    return {errc::internal, {}, std::move(sentence)};
}

// One core is never hashed on: whoever has a token is answered there, however many log in (G16).
std::size_t hashing_threads() {
    return std::max(2U, std::thread::hardware_concurrency()) - 1;
}

runtime::cpu_pool_options hashing_options(observe::metrics& metrics) {
    auto& waited =
        metrics.histogram("insula_hash_wait_seconds", "How long passwords waited for a thread");
    return {.threads = hashing_threads(),
            .queue_max = hashing_queue_max_per_thread * hashing_threads(),
            .wait_max = hashing_wait_max,
            .low_priority = true,
            .waited = [&waited](std::chrono::nanoseconds time) { waited.observe(time); }};
}

/// With port 0 and no public URL the kernel chooses now and not at the end: tokens and mails say
/// where we are, and tasks run before anything is served.
result<std::optional<runtime::listener>> reserve_port(const instance_options& options,
                                                      config& values, runtime::loop& home) {
    auto& address = values.listen.front();
    if (!options.serves || !values.public_url.empty() || address.starts_with("unix:") ||
        !address.ends_with(":0")) {
        return std::optional<runtime::listener>();
    }
    auto bound = runtime::listener::bind(home, address);
    if (!bound) {
        return bound.error();
    }
    address = bound->local().str();
    return std::optional<runtime::listener>(std::move(*bound));
}

identity::password_options password_costs(const config& values) {
    constexpr std::size_t mebibyte = 1024 * 1024;
    const identity::password_options least;
    const identity::password_options costs{.passes = values.password_passes,
                                           .memory_bytes = values.password_memory * mebibyte};
    if (costs.passes * costs.memory_bytes < least.passes * least.memory_bytes) {
        observe::warn("password hashing costs less than OWASP's minimum: for tests only",
                      {{"passes", costs.passes}, {"memory_mib", values.password_memory}});
    }
    return costs;
}

/// By address, account or session: the class says which.
void count_rate_limits(observe::metrics& metrics, const http::token_buckets& limiter,
                       const std::vector<http::rate_class>& classes) {
    for (const auto& one : classes) {
        metrics.counter_from(
            "insula_rate_limited_total", "Requests refused by a rate limit", {{"class", one.name}},
            [&limiter, name = one.name] { return static_cast<double>(limiter.refused(name)); });
    }
    metrics.gauge_from("insula_rate_limit_keys",
                       "Addresses, accounts and sessions whose requests are counted", {},
                       [&limiter] { return static_cast<double>(limiter.size()); });
    metrics.gauge("insula_rate_limit_keys_max", "Limit of insula_rate_limit_keys")
        .set(static_cast<double>(limiter.capacity()));
}

std::string mail_folder(const instance_options& options) {
    if (!options.values.mail_dir.empty()) {
        return options.values.mail_dir;
    }
    return (options.data_dir.empty() ? "." : options.data_dir) + "/mail";
}

queue::engine_options engine_options_for(const checked_config& settings,
                                         const workflows::services& with) {
    queue::engine_options options;
    options.recurring = workflows::recurring(with);
    options.workers = settings.values.workers;
    options.history_retention =
        std::chrono::floor<std::chrono::hours>(settings.values.task_history);
    options.listen_conninfo = settings.url.conninfo(settings.roles.worker(), settings.key);
    return options;
}

}  // namespace

instance::state::state(instance_options given, checked_config checked_settings,
                       std::unique_ptr<loop_set> made_loops)
    : options(std::move(given)),
      settings(std::move(checked_settings)),
      loops(std::move(made_loops)),
      helpers(helper_threads, helper_queue_max),
      hashing(hashing_options(metrics)),
      db(*loops, settings.values, settings.url, settings.roles, settings.key, metrics, helpers),
      hasher(password_costs(settings.values)),
      keys(settings.key),
      templates(settings.values.mail_templates),
      mail(make_mail_transport(settings, mail_folder(options), helpers, metrics)),
      workflow_services{keys,
                        *mail,
                        templates,
                        settings.values.effective_public_url(),
                        settings.mail_from,
                        settings.values.require_verified_email
                            ? std::optional(settings.values.unverified_ttl)
                            : std::nullopt},
      registry(workflows::all(workflow_services)),
      engine(loops->first(), db.worker, db.budget, registry,
             engine_options_for(settings, workflow_services), metrics, &helpers),
      directory(db.control),
      revoked(loops->first(),
              {.conninfo = settings.url.conninfo(settings.roles.app(), settings.key)}, db.budget,
              metrics, &helpers),
      identity{.control = db.control,
               .hashing = hashing,
               .hasher = hasher,
               .tasks = engine,
               .tenants = directory,
               .revoked = revoked,
               .keys = keys,
               .clock = system_clock_source(),
               .cells = settings.values.cells,
               .require_verified_email = settings.values.require_verified_email,
               .stopping = &draining,
               .deletion_grace = settings.values.deletion_grace},
      watchers(loops->first(), "instance"),
      end(loops->first()) {
    if (settings.values.rate_limit) {
        limiter = std::make_unique<http::token_buckets>(settings.rates);
        count_rate_limits(metrics, *limiter, settings.rates);
    } else {
        observe::warn("rate limits are off: for load tests only");
    }
    metrics.gauge_from("insula_hash_queue_depth", "Passwords waiting for a hashing thread", {},
                       [this] { return static_cast<double>(hashing.depth()); });
    metrics.gauge("insula_hash_queue_max", "Limit of insula_hash_queue_depth")
        .set(static_cast<double>(hashing_queue_max_per_thread * hashing_threads()));
    metrics.counter_from("insula_hash_refused_total",
                         "Passwords not looked at: too many were waiting, or for too long", {},
                         [this] { return static_cast<double>(hashing.refused()); });
    metrics.gauge_from("insula_helper_queue_depth", "Look-ups and file work waiting for a thread",
                       {}, [this] { return static_cast<double>(helpers.depth()); });
    metrics.gauge("insula_helper_queue_max", "Limit of insula_helper_queue_depth")
        .set(static_cast<double>(helper_queue_max));
    metrics.counter_from("insula_helper_refused_total",
                         "Look-ups and file work refused because too much was waiting", {},
                         [this] { return static_cast<double>(helpers.refused()); });
    metrics
        .gauge("insula_pg_connections_budget",
               "Limit of insula_pg_connections_open, all pools together")
        .set(settings.values.database_connections);
    metrics.gauge("insula_log_queue_max", "Lines that may wait to be written")
        .set(static_cast<double>(observe::log_options{}.queue_lines_max));
    metrics.counter_from("insula_log_lines_dropped_total",
                         "Log lines dropped because the queue was full", {},
                         [] { return static_cast<double>(observe::log_dropped()); });
}

runtime::awaitable<result<>> instance::state::check_database() {
    const auto until = runtime::deadline::after(start_limit);
    auto cells = co_await tenancy::count_cells(db.control, settings.roles,
                                               until.sooner(runtime::deadline::after(first_look)));
    // A database that is still starting is waited for; one that refuses us is not.
    while (!cells && may_come_up(cells.error()) && !until.expired()) {
        cells = co_await tenancy::count_cells(db.control, settings.roles,
                                              until.sooner(runtime::deadline::after(first_look)));
    }
    if (!cells) {
        co_return wrong("The database is not usable: " + explain(cells.error()));
    }
    if (*cells < settings.values.cells) {
        co_return wrong(fmt::format(
            "INSULA_CELLS is {}, but the database has logins for {} cells: run insula bootstrap "
            "with --cells {}.",
            settings.values.cells, *cells, settings.values.cells));
    }
    pg::unit work;
    work.add(read_heads);
    const auto heads = co_await db.control.run(std::move(work), until);
    if (!heads) {
        co_return wrong("The database is not usable: " + explain(heads.error()));
    }
    const auto control_head = heads->front().only().get<std::int32_t>(0);
    const auto known = pg::embedded_control_migrations();
    if (control_head < known.back().number) {
        co_return wrong(fmt::format(
            "The database is at migration {}, this version needs {}: run insula migrate.",
            control_head, known.back().number));
    }
    pg::unit look;
    look.add(highest_cell);
    const auto highest = co_await db.control.run(std::move(look), until);
    if (!highest) {
        co_return wrong("The database is not usable: " + explain(highest.error()));
    }
    if (const auto cell = highest->front().scalar<std::int32_t>(); cell >= settings.values.cells) {
        co_return wrong(fmt::format(
            "There are tenants in cell {}: INSULA_CELLS must be at least {}.", cell, cell + 1));
    }
    co_return result<>();
}

runtime::awaitable<result<>> instance::state::start() {
    if (auto usable = co_await check_database(); !usable) {
        co_return usable;
    }
    const auto until = runtime::deadline::after(start_limit);
    auto signing =
        co_await identity::load_signing_keys(db.control, keys, token::algorithm::es256, until);
    if (!signing) {
        co_return signing.error();
    }
    const auto loaded = co_await directory.load(until);
    if (!loaded) {
        co_return wrong("The tenants could not be read: " + explain(loaded.error()));
    }
    const auto url = settings.values.effective_public_url();
    tokens = std::make_unique<identity::token_service>(loops->all(), token::authority{url, url},
                                                       *signing);
    if (options.serves) {
        co_await follow_revocations(until);
    }
    services = std::make_unique<api::services>(
        api::services{.identity = identity,
                      .tokens = *tokens,
                      .cells = db.cells,
                      .metrics = metrics,
                      .limiter = limiter.get(),
                      .public_url = url,
                      .mail_pages = options.development,
                      .metrics_here = settings.values.admin_listen.empty(),
                      .projects = settings.values.tenant_migrations.empty(),
                      .version = INSULA_VERSION,
                      .readiness = [this](runtime::deadline d) { return readiness(d); }});
    public_service = api::make_service(*services);
    admin_service = api::make_admin_service(*services);
    engine.start();
    co_return co_await open_servers();
}

runtime::awaitable<result<>> instance::state::open_server(std::string address, std::string name,
                                                          http::service& what) {
    http::server_options server_options;
    server_options.listen = std::move(address);
    server_options.name = name;
    server_options.limits = settings.values.http_limits;
    server_options.limits.connections_max = connections_max;
    server_options.proxies = settings.proxies;
    server_options.cors_origins = settings.values.cors_origins;
    auto& server = servers.emplace_back(what, std::move(server_options), metrics, limiter.get());
    auto started = co_await server.start(loops->all());
    if (started) {
        observe::info("listening", {{"address", server.local()}, {"server", name}});
    } else {
        servers.pop_back();
    }
    co_return started;
}

runtime::awaitable<result<>> instance::state::open_servers() {
    connections_max = connections_that_fit(settings.values);
    count_descriptors(metrics);
    if (options.serves) {
        for (const auto& address : settings.values.listen) {
            if (auto opened = co_await open_server(address, "public", *public_service); !opened) {
                co_return opened;
            }
        }
        reserved.reset();
    }
    if (!settings.values.admin_listen.empty()) {
        co_return co_await open_server(settings.values.admin_listen, "admin", *admin_service);
    }
    co_return result<>();
}

runtime::awaitable<std::vector<std::string>> instance::state::readiness(runtime::deadline until) {
    std::vector<std::string> problems;
    if (draining.load(std::memory_order_relaxed)) {
        problems.emplace_back("draining");
    }
    pg::unit work;
    work.add(read_heads);
    const auto soon = until.sooner(runtime::deadline::after(std::chrono::seconds(2)));
    const auto heads = co_await db.control.run(std::move(work), soon);
    if (!heads) {
        const auto state = heads.error().state;
        const bool missing =
            state == pg::sqlstate::undefined_table || state == pg::sqlstate::insufficient_privilege;
        problems.emplace_back(missing ? "migrations_pending" : "database_unreachable");
        co_return problems;
    }
    const auto row = heads->front().only();
    const auto tenant_files = settings.tenant_files.files();
    if (row.get<std::int32_t>(0) < pg::embedded_control_migrations().back().number ||
        (!tenant_files.empty() && row.get<std::int32_t>(1) < tenant_files.back().number)) {
        problems.emplace_back("migrations_pending");
    }
    co_return problems;
}

runtime::awaitable<void> instance::state::watch_signals(runtime::signal_watch& signals) {
    for (bool first = true;; first = false) {
        const int signal = co_await signals.next();
        if (signal == 0) {
            co_return;
        }
        observe::info(first && serving ? "stopping" : "ending at once",
                      {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
        if (!first || !serving) {
            observe::shutdown_log();
            std::_Exit(1);
        }
        end.set();
    }
}

runtime::awaitable<void> instance::state::watch_trouble() {
    while (!watchers.stopping()) {
        trouble = options.trouble();
        if (!trouble.empty()) {
            observe::error("trouble", {{"what", trouble}});
            end.set();
            co_return;
        }
        co_await runtime::sleep_until(runtime::deadline::after(std::chrono::seconds(1)));
    }
}

runtime::awaitable<result<>> instance::state::serve() {
    runtime::signal_watch signals(loops->first(), {SIGINT, SIGTERM});
    watchers.spawn(watch_signals(signals), "signals");
    if (options.trouble) {
        watchers.spawn(watch_trouble(), "trouble");
    }
    auto ended = co_await start();
    if (ended) {
        serving = true;
        if (options.ready) {
            options.ready(servers.empty() ? std::string() : servers.front().local());
        }
        (void)co_await end.wait(runtime::deadline::never());
    }
    co_await stop();
    watchers.stop();
    signals.close();
    (void)co_await watchers.join(runtime::deadline::after(std::chrono::seconds(5)));
    co_return trouble.empty() ? ended : result<>(wrong(trouble));
}

instance::instance(std::unique_ptr<state> made) : state_(std::move(made)) {}
instance::~instance() = default;

result<std::unique_ptr<instance>> instance::make(instance_options options) {
    auto checked = checked_config::make(options.values);
    if (!checked) {
        return checked.error();
    }
    auto loops = loop_set::make(options.values);
    if (!loops) {
        return loops.error();
    }
    auto reserved = reserve_port(options, checked->values, (*loops)->first());
    if (!reserved) {
        return reserved.error();
    }
    auto made = std::make_unique<state>(std::move(options), std::move(*checked), std::move(*loops));
    made->reserved = std::move(*reserved);
    return std::unique_ptr<instance>(new instance(std::move(made)));
}

result<> instance::run() {
    auto& loops = *state_->loops;
    loops.start_threads();
    std::optional<result<>> outcome;
    std::exception_ptr thrown;
    boost::asio::co_spawn(loops.first().get_executor(), state_->serve(),
                          [&](std::exception_ptr e, result<> ended) {
                              thrown = std::move(e);
                              outcome = std::move(ended);
                              loops.stop();
                          });
    loops.first().run();
    loops.join();
    if (thrown) {
        std::rethrow_exception(thrown);
    }
    return outcome ? *outcome : result<>(wrong("The event loop ended unexpectedly."));
}

}  // namespace insula::app
