// Several processes share runs of every kind while everything that can happen to them happens at
// random.
#pragma once

#include "integration/queue/child.hpp"
#include "integration/queue/journey.hpp"
#include "support/gate.hpp"

#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace insula::queue::test_support {

/// A number from the environment.
unsigned setting(const char* name, unsigned otherwise);

struct storm_options {
    unsigned seed = 1;
    unsigned processes = 3;
    unsigned kills = 25;  ///< when so many have been done, it calms down
    bool unfenced = false;
    bool restarts = true;  ///< of PostgreSQL
};

/// Enqueues and harms; what was accepted is known by the ids, which were made before. One thread.
class storm {
public:
    explicit storm(storm_options options);
    ~storm();

    world& tables() { return world_; }
    /// Until the kills are done, or `enough` says so (asked now and then).
    void rage(const std::function<bool()>& enough = {});
    /// Heals everything, lets operators resume what is held, and waits for the end of all runs.
    testing::AssertionResult calm(std::chrono::milliseconds patience);
    /// What each run has come to, beside the invariants.
    std::vector<std::string> surprises();
    std::string summary() const;

private:
    struct slot {
        std::unique_ptr<child_process> process;
        std::optional<std::chrono::steady_clock::time_point> stopped_until;
    };
    struct promise {
        std::string effects;     // when nobody interfered
        std::string state;       // of the end
        bool disturbed = false;  // an operator cancelled it
    };

    unsigned pick(unsigned below);
    bool chance(unsigned percent) { return pick(100) < percent; }
    /// An administrator's query; survives restarts of the server, so it may happen twice.
    test::rows ask(const std::string& sql,
                   const std::vector<std::optional<std::string>>& params = {});
    void spawn(slot& s);
    void enqueue_one();
    bool exists(run_id id);
    void harm();
    void wake_the_stopped(bool all);
    void cut_a_commit();
    void restart_the_server();
    void operate();
    run_id any_run();
    unsigned left();

    storm_options options_;
    std::mt19937 random_;
    std::unique_ptr<test::cluster> server_;
    world world_;
    test::gate gate_;
    clock_shift clock_;
    std::vector<slot> slots_;
    std::map<run_id, promise> accepted_;
    std::vector<run_id> order_;
    unsigned kills_ = 0, stops_ = 0, zombies_ = 0, cuts_ = 0, commits_cut_ = 0, restarts_ = 0,
             jumps_ = 0;
    unsigned cancels_ = 0, retries_ = 0;
};

}  // namespace insula::queue::test_support
