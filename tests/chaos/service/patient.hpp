// A service with a PostgreSQL of its own and a gate between the two, its clients, and the check
// that every outage ends in.
#pragma once

#include "support/gate.hpp"
#include "system/service/deployment.hpp"

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace insula::test {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

/// What one process holds.
struct holdings {
    std::size_t descriptors = 0;
    std::size_t resident_kb = 0;
};
holdings holdings_of(pid_t pid);

/// False: told to come again (503, a problem, Retry-After). Throws for every other answer.
bool is_done(const http_answer& answer, int status);

/// How long something took, from the moment that is asked about.
using spans = std::map<std::string, std::chrono::milliseconds>;

class patient {
public:
    /// Of `[http] request_timeout`.
    static constexpr auto request_timeout = 1s;
    static constexpr unsigned connections = 24;

    patient();

    cluster& server() { return database().home(); }
    test_database& database() { return where_.database(); }
    deployment& where() { return where_; }
    gate& between() { return between_; }
    /// Behind the gate; it does all background work.
    served& service() { return *service_; }
    /// Not behind the gate.
    served& colleague() { return where_.server(); }
    /// Settings of a further process behind the gate.
    environment variables_behind() const;
    const std::vector<std::string>& arguments() const { return arguments_; }
    /// Two tenants, with a project each that is named after its tenant's id.
    const std::array<person, 2>& people() const { return people_; }
    /// Somebody whose sessions are ended.
    const person& leaver() const { return leaver_; }
    void restart_service();

    /// Every kind of use at once, each until it succeeds; how long after `since` that was. Throws
    /// when one has not within `limit`.
    spans use_everything(clock::time_point since, std::chrono::milliseconds limit);
    /// What use_everything() takes when nothing is wrong.
    const spans& healthy() const { return healthy_; }
    /// Of the service, over all its pools.
    double metric_of(const std::string& name);
    /// As administrator, also on the first call after the server was away.
    std::string value(const std::string& sql);
    std::string fresh_name();
    /// For whoever reads of a failure: the end of the service's log, sessions, runs.
    std::string what_it_is_at();

private:
    void start_service();
    /// One kind of use; false: it was told to come again. Throws for every other answer.
    bool use(const std::string& kind);
    bool registers();
    bool hears_of_revocations();

    deployment where_;
    gate between_;
    temporary_folder files_;
    std::vector<std::string> arguments_;
    std::unique_ptr<served> service_;
    std::array<person, 2> people_;
    person leaver_;
    spans healthy_;
};

/// The one of this program.
patient& shared_patient();

}  // namespace insula::test
