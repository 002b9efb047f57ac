// More people than can be checked want to log in at once.
#include "deployment.hpp"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

constexpr int people = 400;
constexpr int hash_mebibytes = 64;

/// A line of /proc/PID/status, in MiB.
long memory_of(pid_t pid, const std::string& line) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string one; std::getline(status, one);) {
        if (one.starts_with(line + ":")) {
            return std::stol(one.substr(line.size() + 1)) / 1024;
        }
    }
    throw std::runtime_error("no " + line);
}

std::string login_request(const std::string& body) {
    return "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
           "Content-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(login_storm, G16_is_refused_early_in_bounded_memory_while_tokens_go_on_working) {
    auto& where = shared_deployment();
    const auto who = where.make_person("storm");
    // Each takes some tenth of a second of a core: nothing could check so many in time.
    served slow(where.variables_with({{"INSULA_PASSWORD_MEMORY", std::to_string(hash_mebibytes)},
                                      {"INSULA_PASSWORD_PASSES", "4"}}));
    const auto threads = std::max(2U, std::thread::hardware_concurrency()) - 1;
    const auto before = memory_of(slow.process().pid(), "VmRSS");

    std::atomic<bool> over = false;
    std::atomic<int> reads = 0;
    std::jthread reader([&] {
        auto client = slow.client();
        while (!over) {
            const auto answer = get(client, "/api/v1/users/me", who.auth());
            EXPECT_EQ(answer.status, 200) << answer.text();
            ++reads;
        }
    });
    wait_until("the first read", [&] { return reads > 0; });

    int checked = 0;
    int refused = 0;
    {
        std::vector<http_client> all;
        for (int i = 0; i < people; ++i) {
            all.push_back(slow.client());
        }
        for (int i = 0; i < people; ++i) {
            all[static_cast<std::size_t>(i)].write(login_request(json::serialize(
                json::object{{"email", "nobody-" + std::to_string(i) + "@storm.example"},
                             {"password", good_password}})));
        }
        for (auto& client : all) {
            const auto answer = client.read_answer();
            if (answer.status == 401) {
                ++checked;
                continue;
            }
            EXPECT_TRUE(is_problem(answer, 503, "overloaded"));
            EXPECT_TRUE(answer.field("Retry-After").has_value());
            ++refused;
        }
    }
    const int during = reads;
    over = true;
    reader.join();
    EXPECT_GT(checked, 0);
    EXPECT_GT(refused, 0) << "of " << people;
    EXPECT_GT(during, 10) << "the others went on";
    EXPECT_LT(memory_of(slow.process().pid(), "VmHWM") - before,
              static_cast<long>(threads) * hash_mebibytes + 256)
        << "MiB, for passwords of " << threads << " threads";
    auto client = slow.client();
    EXPECT_GE(metric_sum(client, "insula_hash_refused_total"), refused);
    EXPECT_LE(metric_sum(client, "insula_hash_queue_depth"),
              metric_sum(client, "insula_hash_queue_max"));
    const auto after = post_json(client, "/api/v1/auth/login",
                                 {{"email", who.email}, {"password", good_password}});
    EXPECT_EQ(after.status, 200) << "and then everybody gets in again: " << after.text();
}

/// Log-ins on connections of their own, sent at once; nobody waits for the answers.
std::vector<http_client> send_log_ins(const served& to) {
    const auto request = login_request(json::serialize(
        json::object{{"email", "nobody@storm.example"}, {"password", good_password}}));
    std::vector<http_client> all;
    for (int i = 0; i < people; ++i) {
        all.push_back(to.client());
    }
    for (auto& client : all) {
        client.write(request);
    }
    return all;
}

TEST(login_storm, G16_who_is_refused_costs_the_database_nothing) {
    auto& where = shared_deployment();
    const served slow(
        where.variables_with({{"INSULA_PASSWORD_MEMORY", std::to_string(hash_mebibytes)},
                              {"INSULA_PASSWORD_PASSES", "4"}}));
    auto client = slow.client();
    const auto first = send_log_ins(slow);
    wait_until("the queue is full",
               [&] { return metric_sum(client, "insula_hash_refused_total") > people / 2; });
    const auto trips = metric_sum(client, "insula_pg_round_trips_total");
    auto second = send_log_ins(slow);
    const auto refused = std::ranges::count_if(
        second, [](http_client& one) { return one.read_answer().status == 503; });
    EXPECT_GT(refused, people / 2);
    EXPECT_LT(metric_sum(client, "insula_pg_round_trips_total") - trips,
              static_cast<double>(refused) / 2);
}

}  // namespace
}  // namespace insula::test
