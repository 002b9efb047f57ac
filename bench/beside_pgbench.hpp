#pragma once
// pgbench on the benchmark's own database, with the statements of a tenant's unit.

#include "database_world.hpp"

#include <filesystem>
#include <fstream>
#include <iostream>

namespace insula::bench {

/// Transactions a second of pgbench; as the tenant's role from the start, because it prepares
/// everything before the first switch.
inline double run_pgbench(const std::string& folder, const std::string& statements, int clients,
                          double seconds) {
    auto& w = world::get();
    // Of one tenant only: to start as a role, a member of 10,000 needs a second for each
    // connection.
    w.need_login("bench_pgbench");
    run_sql(w.admin(), fmt::format("grant {} to bench_pgbench", w.tenant_role(0)));
    const auto file = folder + "/unit.sql";
    std::ofstream(file) << statements;
    const auto command = fmt::format(
        "PGPASSWORD=bench PGOPTIONS='-c role={}' /usr/lib/postgresql/{}/bin/pgbench -n -M prepared"
        " -f {} -c {} -j 1 -T {:.0f} -h '{}' -p 5432 -U bench_pgbench insula 2>&1",
        w.tenant_role(0), PQserverVersion(w.admin()) / 10'000, file, clients, seconds,
        w.socket_folder());
    const std::unique_ptr<FILE, int (*)(FILE*)> out(::popen(command.c_str(), "r"), &::pclose);
    std::string said;
    for (std::array<char, 256> line{};
         std::fgets(line.data(), line.size(), out.get()) != nullptr;) {
        said += line.data();
    }
    const auto at = said.find("tps = ");
    if (at == std::string::npos) {
        throw std::runtime_error("pgbench: " + said);
    }
    return std::atof(said.c_str() + at + 6);
}

/// Prints "CLIENTS KIND PGBENCH OURS", in turns: the scope's statements, and the read alone.
/// `ours`: so many reads, so many at once.
inline void beside_pgbench(const std::function<void(int depth, long count)>& ours,
                           const char* columns, double seconds, int rounds) {
    auto& w = world::get();
    std::string folder = "/tmp/insula-pgbench-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) {
        throw std::runtime_error("no temporary folder");
    }
    const auto role = w.tenant_role(0);
    const auto read = fmt::format("select {} from {}.projects where id = '{}';\n", columns, role,
                                  w.project().str());
    const auto settings = fmt::format(
        "select set_config('role', '{}', true), set_config('lock_timeout', '50', true),"
        " set_config('statement_timeout', '30000', true);\n",
        role);
    const std::map<std::string, std::string> kinds{
        {"settings_and_read", "\\startpipeline\n" + settings + read + "\\endpipeline\n"},
        {"read_alone", read}};
    for (int round = 0; round < rounds; ++round) {
        for (const int clients : {16, 64}) {
            for (const auto& [kind, statements] : kinds) {
                const double theirs = run_pgbench(folder, statements, clients, seconds);
                long reads = 0;
                const auto begun = runtime::steady_clock::now();
                const auto passed = [&] {
                    return std::chrono::duration<double>(runtime::steady_clock::now() - begun)
                        .count();
                };
                while (passed() < seconds) {
                    ours(clients, 5000);
                    reads += 5000;
                }
                std::cout << fmt::format("{} {} {:.0f} {:.0f}\n", clients, kind, theirs,
                                         static_cast<double>(reads) / passed());
            }
        }
    }
    std::filesystem::remove_all(folder);
}

}  // namespace insula::bench
