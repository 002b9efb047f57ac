// Several processes on one database: they share the work, and any of them may end at any time.
#include "deployment.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <future>
#include <mutex>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr auto lease = 10s;
constexpr int slots = 2;  // runs at once, of each process that works

/// A process that works, and what it calls itself in the queue.
class colleague {
public:
    colleague(deployment& where, const std::string& command)
        : process_(where.variables_with({{"INSULA_WORKERS", std::to_string(slots)},
                                         {"INSULA_ADMIN_LISTEN", "127.0.0.1:0"}}),
                   {}, command) {
        const auto line = process_.process().wait_for_line("\"queue: registered\"", 60s);
        worker_ = json::serialize(json::parse(line).at("worker"));
        if (command == "worker") {
            process_.process().wait_for_line("\"working\"", 60s);
        }
        // The admin listener comes last; of a worker it is the only one.
        const auto admin = process_.process().wait_for_line("\"server\":\"admin\"", 60s);
        admin_address_ = std::string(json::parse(admin).at("address").as_string());
    }

    const std::string& worker() const { return worker_; }
    child_process& process() { return process_.process(); }
    http_client client() const { return process_.client(); }
    double claimed() const {
        http_client admin(admin_address_);
        return metric_sum(admin, "insula_queue_claimed_total");
    }

private:
    served process_;
    std::string worker_;
    std::string admin_address_;
};

/// `insula serve` and `insula worker` in turn, beside a server that does no work itself.
struct crew {
    crew() : where({{"INSULA_WORKERS", "0"}, {"INSULA_DATABASE_CONNECTIONS", "16"}}) {
        (void)where.server();
    }
    void hire(int size) {
        for (int i = 0; i < size; ++i) {
            members.push_back(std::make_unique<colleague>(where, i % 2 == 0 ? "worker" : "serve"));
        }
    }

    /// The status URLs of new registrations, accepted by the server that does no work.
    std::vector<std::string> register_some(int n) {
        std::vector<std::string> urls;
        auto client = where.server().client();
        for (int i = 0; i < n; ++i) {
            const auto slug = where.fresh_slug("crew");
            const auto answer = post_json(client, "/api/v1/auth/register",
                                          registration_form(slug, slug + "@example.org"));
            if (answer.status != 202) {
                throw std::runtime_error("register answered " + answer.text());
            }
            urls.push_back(*answer.field("Location"));
        }
        return urls;
    }
    void expect_ready(const std::vector<std::string>& urls) {
        auto client = where.server().client();
        for (const auto& url : urls) {
            const auto status = get(client, url + "?wait=30");
            EXPECT_EQ(text_of(parse(status), "/status"), "ready") << status.text();
        }
    }
    std::string count(const std::string& from) {
        return where.database().value_admin("select count(*) from " + from);
    }

    deployment where;
    std::vector<std::unique_ptr<colleague>> members;
};

TEST(system_processes, G51_two_and_four_processes_share_the_work) {
    for (const int size : {2, 4}) {
        SCOPED_TRACE(size);
        crew all;
        all.hire(size);
        std::vector<std::string> urls;
        wait_until(
            "every process to have done some",
            [&] {
                const auto more = all.register_some(2 * size);
                urls.insert(urls.end(), more.begin(), more.end());
                return std::ranges::all_of(all.members,
                                           [](const auto& one) { return one->claimed() > 0; });
            },
            60s);
        all.expect_ready(urls);
        // Nothing twice: as many of everything as registrations were accepted.
        const auto n = std::to_string(urls.size());
        EXPECT_EQ(all.count("control.tenant where status = 'ready'"), n);
        EXPECT_EQ(all.count("pg_namespace where nspname ~ '^t_[0-9a-f]{32}$'"), n);
        EXPECT_EQ(all.count("control.audit_log where action = 'tenant.create'"), n);
        wait_until("the mails to be sent", [&] { return all.count("queue.run") == "0"; });
        EXPECT_EQ(all.count("queue.history where kind = 'mail.send' and state = 4"), n);
    }
}

/// Every member has its hands full of registrations that cannot go on, and then one is killed.
/// Answers for how long its runs stayed its own.
std::chrono::milliseconds kill_one_of(int size) {
    crew all;
    const auto urls = all.register_some(size * slots);
    sql_connection blocker(all.where.database().admin_conninfo());
    blocker.query("begin; select from control.tenant for update");
    all.hire(size);
    const auto owned_by = [&](const colleague& one) {
        return std::stoi(all.count("queue.run where state = 1 and owner = " + one.worker()));
    };
    for (const auto& one : all.members) {
        wait_until("every process to be in the middle of something",
                   [&] { return owned_by(*one) == slots; });
    }
    auto& victim = *all.members[size == 2 ? 1 : 0];  // a server of the two, a worker of the four
    const auto began = std::chrono::steady_clock::now();
    victim.process().signal(SIGKILL);
    EXPECT_EQ(victim.process().wait(5s), -SIGKILL);
    blocker.query("rollback");
    wait_until("the dead one's runs to be taken over", [&] { return owned_by(victim) == 0; }, 60s);
    const auto took = std::chrono::steady_clock::now() - began;
    all.expect_ready(urls);
    EXPECT_EQ(all.count("control.audit_log where action = 'tenant.create'"),
              std::to_string(urls.size()));
    return std::chrono::duration_cast<std::chrono::milliseconds>(took);
}

// Takes a lease, and that is what it measures. Both at once, so that it is only one.
TEST(system_processes, G51_a_killed_process_is_replaced_within_its_lease_and_a_second) {
    auto two = std::async(std::launch::async, kill_one_of, 2);
    auto four = std::async(std::launch::async, kill_one_of, 4);
    EXPECT_LE(two.get(), lease + 1s);
    EXPECT_LE(four.get(), lease + 1s);
}

/// Clients that register at whatever process answers, until they are told to stop.
class crowd {
public:
    crowd(deployment& where, std::vector<std::string> addresses)
        : where_(where), addresses_(std::move(addresses)) {
        for (unsigned i = 0; i < clients; ++i) {
            threads_.emplace_back([this, i] { register_on_and_on(i); });
        }
    }
    ~crowd() { stop(); }
    crowd(const crowd&) = delete;
    crowd& operator=(const crowd&) = delete;

    void replace(const std::string& old_address, const std::string& new_address) {
        const std::lock_guard held(guard_);
        std::ranges::replace(addresses_, old_address, new_address);
    }
    std::size_t accepted() const {
        const std::lock_guard held(guard_);
        return urls_.size();
    }
    /// What was accepted, and what was answered that is neither 202 nor 503.
    std::pair<std::vector<std::string>, std::vector<std::string>> stop() {
        stopping_ = true;
        for (auto& thread : threads_) {
            thread.join();
        }
        threads_.clear();
        return {urls_, odd_};
    }

private:
    static constexpr unsigned clients = 3;

    void register_on_and_on(unsigned number) {
        for (unsigned i = number; !stopping_; ++i) {
            std::string address;
            std::string slug;
            {
                const std::lock_guard held(guard_);
                address = addresses_[i % addresses_.size()];
                slug = where_.fresh_slug("crowd");
            }
            try {
                http_client client(address);
                note(post_json(client, "/api/v1/auth/register",
                               registration_form(slug, slug + "@example.org")));
            } catch (const http_failure&) {
                wait_a_little();  // refused or cut: nothing was promised
            }
        }
    }
    void note(const http_answer& answer) {
        const std::lock_guard held(guard_);
        if (answer.status == 202) {
            urls_.push_back(*answer.field("Location"));
        } else if (answer.status != 503) {
            odd_.push_back(answer.text());
        }
    }

    deployment& where_;
    mutable std::mutex guard_;
    std::vector<std::string> addresses_;
    std::vector<std::string> urls_;
    std::vector<std::string> odd_;
    std::atomic<bool> stopping_{false};
    std::vector<std::thread> threads_;
};

TEST(system_processes, G51_a_rolling_restart_loses_no_accepted_request_and_no_task) {
    deployment where({{"INSULA_WORKERS", "2"}, {"INSULA_DATABASE_CONNECTIONS", "16"}});
    std::vector<std::unique_ptr<served>> processes;
    for (int i = 0; i < 2; ++i) {
        processes.push_back(std::make_unique<served>(where.variables()));
    }
    crowd people(where, {processes[0]->address(), processes[1]->address()});
    const auto wait_for_more = [&] {
        const auto before = people.accepted();
        wait_until("more registrations", [&] { return people.accepted() >= before + 6; });
    };
    for (auto& one : processes) {
        wait_for_more();
        auto next = std::make_unique<served>(where.variables());
        people.replace(one->address(), next->address());
        one->process().signal(SIGTERM);
        EXPECT_EQ(one->process().wait(40s), 0) << one->process().err();
        one = std::move(next);
    }
    wait_for_more();
    const auto [urls, odd] = people.stop();
    EXPECT_THAT(odd, testing::IsEmpty());
    auto client = processes.front()->client();
    for (const auto& url : urls) {
        const auto status = get(client, url + "?wait=30");
        EXPECT_EQ(text_of(parse(status), "/status"), "ready") << status.text();
    }
    EXPECT_EQ(
        where.database().value_admin(
            "select count(*) from control.audit_log where action = 'user.register'"),
        where.database().value_admin("select count(*) from control.tenant where status = 'ready'"))
        << "a registration that nobody was told of, and that did not become ready";
}

TEST(system_processes, a_server_without_workers_wakes_those_that_have) {
    crew all;
    sql_connection listener(all.where.database().admin_conninfo());
    listener.query("listen insula_queue");
    const auto urls = all.register_some(1);
    wait_until("a word to the others", [&] {
        PQconsumeInput(listener.native());
        const std::unique_ptr<PGnotify, decltype(&PQfreemem)> heard(PQnotifies(listener.native()),
                                                                    &PQfreemem);
        return heard != nullptr;
    });
    auto client = all.where.server().client();
    EXPECT_DOUBLE_EQ(metric_sum(client, "insula_queue_claimed_total"), 0);
    all.hire(1);
    all.expect_ready(urls);
}

TEST(system_processes, G53_a_worker_ends_on_sigterm_and_leaves_its_work_to_others) {
    crew all;
    all.hire(1);
    auto& worker = *all.members.front();
    auto admin = worker.client();
    EXPECT_EQ(get(admin, "/livez").status, 200);
    EXPECT_EQ(get(admin, "/readyz").status, 200);
    EXPECT_TRUE(is_problem(get(admin, "/openapi.json"), 404, "not_found"))
        << "a worker serves more than its health";
    all.expect_ready(all.register_some(2));
    worker.process().signal(SIGTERM);
    EXPECT_EQ(worker.process().wait(30s), 0) << worker.process().err();
    // What comes now is done by the next one.
    const auto urls = all.register_some(1);
    EXPECT_EQ(all.count("queue.run where state = 1"), "0") << "a lease was not given back";
    all.hire(1);
    all.expect_ready(urls);

    // Neither does a worker without an admin listener listen anywhere, nor does it need one.
    child_process silent(insula_binary(), {"worker"},
                         all.where.variables_with({{"INSULA_WORKERS", "1"}}));
    silent.wait_for_line("\"working\"", 60s);
    EXPECT_EQ((silent.out() + silent.err()).find("\"listening\""), std::string::npos);
    silent.signal(SIGINT);
    EXPECT_EQ(silent.wait(30s), 0) << silent.err();

    const auto none = run_insula({"worker"}, all.where.variables());
    EXPECT_EQ(none.code, 3) << none.err;
    EXPECT_THAT(none.err, HasSubstr("INSULA_WORKERS"));
}

}  // namespace
}  // namespace insula::test
