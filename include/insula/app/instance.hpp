#pragma once
#include "insula/app/config.hpp"

#include <functional>
#include <memory>
#include <string>

namespace insula::app {

struct instance_options {
    config values;
    std::string data_dir;      ///< where mail=file writes when mail_dir is empty
    bool development = false;  ///< `insula dev`: mail pages, nothing else
    bool serves = true;        ///< false (`insula worker`): tasks, and the admin listener if any
    /// Asked once a second; a sentence ends the service with it as the error (`insula dev`: its
    /// PostgreSQL died).
    std::function<std::string()> trouble;
    /// Called once, when requests are accepted, with the address that was bound
    /// ("127.0.0.1:43210"); empty for a worker without an admin listener.
    std::function<void(const std::string& address)> ready;
};

/// The whole service: loops, pools, engine, HTTP (or all but HTTP: a worker). Constructed, run once
/// from the main thread, destroyed.
class instance {
public:
    /// Error: internal with a sentence (configuration, io_uring refused where it was demanded).
    static result<std::unique_ptr<instance>> make(instance_options options);
    ~instance();

    /// Starts, serves until SIGINT or SIGTERM, drains and returns. One that comes before it serves,
    /// and a second one, end the process at once with exit code 1: nothing that was answered is
    /// lost by that. SIGINT and SIGTERM must be blocked (runtime::block_signals). Error: why it
    /// could not start, or the trouble that ended it.
    result<> run();

private:
    struct state;
    explicit instance(std::unique_ptr<state> made);
    std::unique_ptr<state> state_;
};

}  // namespace insula::app
