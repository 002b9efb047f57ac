// Processes of the private PostgreSQL: starting children that do not outlive us, finding and ending
// servers.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace insula::app::detail {

struct account {
    uid_t uid = 0;
    gid_t gid = 0;
};

/// How PostgreSQL's programs are run: as whom, and with which folder handed over as a descriptor.
struct surroundings {
    std::optional<account> runs_as;  // set when we are root
    int folder = -1;                 // becomes `handed_over_folder` in the child; -1 for none
};

/// The path of a folder handed over by descriptor. Its owner can use it even where a folder above
/// is closed to it (a checkout below /root), because nothing above is looked at.
inline constexpr int handed_over_descriptor = 9;
inline constexpr const char* handed_over_folder = "/proc/self/fd/9";

/// Starts args[0] in its own session with a small environment, standard output and error into
/// `output`. The child gets `death_signal` when the calling thread ends. -1 with errno when there
/// is no process.
pid_t spawn(const std::vector<std::string>& args, const surroundings& how, int output,
            int death_signal);

struct outcome {
    bool success = false;
    std::string output;
};
/// Runs to the end and collects the output.
outcome run(const std::vector<std::string>& args, const surroundings& how);

/// Whether the account may enter the folder by its path.
bool can_enter(const std::filesystem::path& folder, const surroundings& how);

/// Living PostgreSQL processes whose working directory is the cluster; postmaster and backends
/// alike.
std::vector<pid_t> servers_of(const std::filesystem::path& cluster);

/// Ends the child, harder with time; returns when it is reaped.
void end_child(pid_t child, std::chrono::milliseconds patience);

/// Ends the servers of a cluster that are not our children. False when some stay.
bool end_strangers(const std::filesystem::path& cluster, std::chrono::milliseconds patience);

/// The contents of postmaster.pid; empty fields where it is missing or short.
struct postmaster_file {
    pid_t pid = 0;
    bool ready = false;
};
postmaster_file read_postmaster_file(const std::filesystem::path& cluster);

/// SIGINT or SIGTERM waits for us (blocked, to be read by signal_watch).
bool asked_to_stop();

}  // namespace insula::app::detail
