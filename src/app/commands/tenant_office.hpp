#pragma once
// What the subcommands of `insula tenant` share: the connection, and how a tenant is named, shown
// and watched.
#include "../setup_connection.hpp"
#include "command.hpp"

#include "insula/identity/tenant_life.hpp"

#include <functional>
#include <optional>
#include <string>

namespace insula::app::commands {

/// What was typed; each subcommand uses its part.
struct tenant_request {
    configuration_flags flags;
    std::string tenant;  ///< a slug, or an id
    std::string status;
    std::string search;
    std::string confirm;
    int limit = 100;
    bool immediately = false;
    bool wait = false;
    bool json = false;
};

/// The control plane's login for one command, on a loop of its own.
class tenant_desk {
public:
    static constexpr std::chrono::seconds answer_limit{30};

    tenant_desk(runtime::loop& home, std::string conninfo, std::chrono::seconds grace)
        : app_(home, "app", std::move(conninfo)), office_(app_.pool(), grace) {}

    /// Error: internal with a sentence that says what to do about the database.
    runtime::awaitable<result<>> open();
    runtime::awaitable<void> close() { return app_.close(); }

    const identity::tenant_office& office() const noexcept { return office_; }
    static identity::actor by() { return identity::actor::command_line(); }
    static runtime::deadline soon() { return runtime::deadline::after(answer_limit); }
    /// For audit rows.
    static identity::caller from() { return {"", "command-line", "insula tenant", soon()}; }

    /// The tenant of that id or slug.
    runtime::awaitable<result<identity::tenant_record>> find(std::string_view named);
    /// Its newest run, whatever it is for.
    runtime::awaitable<std::optional<queue::run_status>> newest_run(tenant_id tenant);
    /// Tells steps and attempts as they come until the tenant leaves the state `from`, or for
    /// watch_limit. Answers the tenant as it is then.
    runtime::awaitable<result<identity::tenant_record>> watch(identity::tenant_record tenant);

    static constexpr std::chrono::minutes watch_limit{10};

private:
    setup_connection app_;
    identity::tenant_office office_;
};

/// What a command does at an open desk; its exit code.
using desk_work = std::function<runtime::awaitable<int>(tenant_desk&)>;
/// Runs it, with the settings of these flags; what is wrong with them or the database is told.
int at_desk(const configuration_flags& flags, const desk_work& work);

/// Lines for people, of `show` and after a change.
void print_tenant(const identity::tenant_record& tenant);
void print_run(const queue::run_status& run);
/// One line of JSON, as the API has it.
void print_json(const identity::tenant_record& tenant);

}  // namespace insula::app::commands
