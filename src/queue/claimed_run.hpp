#pragma once
#include "insula/core/ids.hpp"
#include "insula/pg/value.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::queue::detail {

/// A run as this process believes it to be: from the claim, moved on by what was committed since.
struct claimed_run {
    run_id id;
    std::optional<tenant_id> tenant;
    std::string kind;
    int version = 1;
    std::int16_t direction = 1;
    int step = 0;     ///< forward: done so far; backward: still to be undone
    int attempt = 1;  ///< of the present step
    int crashes = 0;
    int attempts_max = 0;  ///< 0: what the definition says
    bool overdue = false;
    bool cancel_requested = false;
    bool begun = false;  ///< something of the present step may have happened
    std::string input;
    std::string error_code;  ///< what it failed of, when direction is -1
    std::string error_detail;
    std::string error_internal;
    std::chrono::microseconds waited{0};  ///< from being ready to this claim
    bool keyed = false;                   ///< has a lock key

    std::int64_t token = 0;
    std::uint64_t epoch = 0;  ///< of the engine's registration that claimed it
};

/// Columns of queue.claim that are no part of a claimed_run.
inline constexpr int claim_priority = 17;
inline constexpr int claim_vt = 18;

claimed_run read_claim(const pg::row& r, std::int64_t token, std::uint64_t epoch);

/// A row of queue.step.
struct step_row {
    std::int16_t direction = 1;
    int seq = 0;
    std::string name;
    std::int16_t state = 1;  ///< 0 intent, 1 done, 2 failed
    std::optional<std::string> result;
    bool compensable = false;
};

const step_row* find_row(const std::vector<step_row>& rows, int direction, int seq) noexcept;

}  // namespace insula::queue::detail
