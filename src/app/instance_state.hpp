#pragma once
// What a running service consists of, in the order in which it is made; it is taken apart in the
// reverse.

#include "insula/api/service.hpp"
#include "insula/app/database_setup.hpp"
#include "insula/app/instance.hpp"
#include "insula/http/rate_limit.hpp"
#include "insula/http/server.hpp"
#include "insula/mail/smtp_server.hpp"
#include "insula/mail/templates.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/queue/engine.hpp"
#include "insula/runtime/cpu_pool.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/listener.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/signals.hpp"
#include "insula/runtime/task_group.hpp"
#include "insula/workflows/workflows.hpp"

#include <atomic>
#include <deque>
#include <thread>

namespace insula::app {

/// Event loops: the first runs on the main thread, each of the others on a thread of its own.
class loop_set {
public:
    static result<std::unique_ptr<loop_set>> make(const config& values);
    ~loop_set();

    void start_threads();
    /// Ends every loop; from any thread.
    void stop();
    void join();

    runtime::loop& first() { return *loops_.front(); }
    runtime::loop& nth(std::size_t n) { return *loops_[n % loops_.size()]; }
    std::vector<runtime::loop*> all();
    std::size_t size() const noexcept { return loops_.size(); }

private:
    std::vector<std::unique_ptr<runtime::loop>> loops_;
    std::vector<std::thread> threads_;
};

/// Every connection this process has, all kinds under one budget.
struct databases {
    databases(loop_set& loops, const config& values, const database_url& url,
              const tenancy::role_names& roles, const secret_bytes& key, observe::metrics& metrics,
              runtime::cpu_pool& resolver);
    runtime::awaitable<void> close(runtime::deadline until);

    pg::connection_budget budget;
    pg::pool control;
    pg::pool worker;
    std::vector<std::unique_ptr<pg::pool>> cell_pools;
    tenancy::cells cells;
};

/// The settings in the form that is used.
struct checked_config {
    config values;
    secret_bytes key;
    database_url url;
    tenancy::role_names roles;
    tenant_migration_files tenant_files;
    http::trusted_proxies proxies;
    std::vector<http::rate_class> rates;
    mail::mailbox mail_from;
    std::optional<mail::smtp_server> smtp;  ///< with mail=smtp

    static result<checked_config> make(config values);
};

/// Nothing when mail goes elsewhere. Error: a sentence.
result<std::optional<mail::smtp_server>> smtp_server_of(const config& values,
                                                        const mail::mailbox& sender);

/// Where this configuration sends mail; takes the server out of it. Folder, pool and metrics are
/// used for mail=file.
std::unique_ptr<mail::transport> make_mail_transport(checked_config& settings, std::string folder,
                                                     runtime::cpu_pool& pool,
                                                     observe::metrics& metrics);

struct instance::state {
    state(instance_options given, checked_config checked_settings,
          std::unique_ptr<loop_set> made_loops);

    instance_options options;
    checked_config settings;
    observe::metrics metrics;
    std::unique_ptr<loop_set> loops;
    runtime::cpu_pool helpers;  ///< name look-ups and files
    runtime::cpu_pool hashing;
    databases db;
    identity::password_hasher hasher;
    identity::secret_keys keys;
    mail::templates templates;
    std::unique_ptr<mail::transport> mail;
    workflows::services workflow_services;
    queue::registry registry;
    queue::engine engine;
    tenancy::directory directory;
    tenancy::revocations revoked;
    identity::context identity;
    std::unique_ptr<http::token_buckets> limiter;
    std::atomic<bool> draining{false};
    runtime::task_group watchers;
    runtime::event end;  ///< a signal or trouble: time to stop
    bool serving = false;
    std::string trouble;
    std::string keys_complaint;  ///< what reload_keys() said last

    // Made by start(), when the database has answered.
    std::unique_ptr<identity::token_service> tokens;
    std::unique_ptr<api::services> services;
    std::unique_ptr<http::service> public_service;
    std::unique_ptr<http::service> admin_service;
    std::size_t connections_max = 0;  ///< of each server: what was configured and the limit allows
    std::deque<http::server> servers;
    std::optional<runtime::listener> reserved;  ///< holds the port until the servers have it

    runtime::awaitable<result<>> serve();
    runtime::awaitable<void> watch_signals(runtime::signal_watch& signals);
    runtime::awaitable<void> watch_trouble();
    runtime::awaitable<result<>> start();
    runtime::awaitable<result<>> check_database();
    /// Reads the signing keys again and has every loop use them.
    runtime::awaitable<bool> reload_keys(runtime::deadline until);
    runtime::awaitable<void> follow_revocations(runtime::deadline until);
    runtime::awaitable<result<>> open_servers();
    runtime::awaitable<result<>> open_server(std::string address, std::string name,
                                             http::service& what);
    runtime::awaitable<std::vector<std::string>> readiness(runtime::deadline until);
    runtime::awaitable<void> stop();
    runtime::awaitable<void> end_in_time(runtime::deadline until);
};

}  // namespace insula::app
