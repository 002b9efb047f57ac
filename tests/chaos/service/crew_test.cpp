// Several processes behind a load balancer that knows no more than whether somebody answers. They
// are killed, ended and replaced while clients register and write; whoever was told that something
// is done finds it done, once.
//
// INSULA_TEST_CREW_SECONDS: for how long; 4 unless told otherwise.
#include "patient.hpp"

#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <mutex>
#include <random>
#include <set>
#include <thread>

namespace insula::test {
namespace {

constexpr int members = 3;
constexpr auto lease = 10s;

std::chrono::seconds duration() {
    const char* asked = std::getenv("INSULA_TEST_CREW_SECONDS");
    return std::chrono::seconds(asked == nullptr ? 4 : std::strtol(asked, nullptr, 10));
}

class crew {
public:
    explicit crew(patient& who) : who_(who) {
        for (auto& member : members_) {
            member = start();
        }
        for (unsigned i = 0; i < 2; ++i) {
            clients_.emplace_back([this, i] { repeat(i, &crew::enrol); });
            clients_.emplace_back([this, i] { repeat(i, &crew::write); });
        }
    }
    ~crew() { stop(); }
    crew(const crew&) = delete;
    crew& operator=(const crew&) = delete;

    /// Another in the place of one that is killed, or asked to end.
    void replace(std::size_t which, int signal) {
        auto next = start();
        {
            const std::lock_guard held(guard_);
            next.swap(members_[which]);
            if (signal == SIGKILL) {
                killed_.insert(next->address());
            }
        }
        next->process().signal(signal);
        EXPECT_EQ(next->process().wait(40s), signal == SIGKILL ? -SIGKILL : 0)
            << next->process().err();
        if (signal == SIGTERM) {
            expect_leases_given_back(next->process().pid());
        }
    }
    /// At once, not when a lease of so many seconds is over.
    void expect_leases_given_back(pid_t ended) {
        const auto its = "from queue.worker w where w.label = 'pid " + std::to_string(ended) + "'";
        EXPECT_EQ(who_.value("select count(*) " + its + " and w.dead"), "1") << "pid " << ended;
        EXPECT_EQ(
            who_.value("select count(*) from queue.run where owner in (select w.id " + its + ")"),
            "0")
            << "pid " << ended;
    }
    void stop() {
        stopping_ = true;
        for (auto& client : clients_) {
            client.join();
        }
        clients_.clear();
    }
    std::size_t accepted() const {
        const std::lock_guard held(guard_);
        return urls_.size() + names_.size();
    }
    void expect_everything_done_once() {
        EXPECT_THAT(odd_, testing::IsEmpty());
        auto client = http_client(address(0), 60s);
        for (const auto& url : urls_) {
            std::string status;
            wait_until(
                "a registration to end",
                [&] {
                    status = text_of(parse(get(client, url + "?wait=5")), "/status");
                    return status != "provisioning";
                },
                lease + 20s);
            EXPECT_EQ(status, "ready") << url;
        }
        for (const auto& name : names_) {
            EXPECT_EQ(who_.value("select count(*) from " + who_.people()[0].schema() +
                                 ".projects where name = '" + name + "'"),
                      "1")
                << name;
        }
        for (const auto& slug : slugs_) {
            EXPECT_EQ(who_.value("select count(*) from control.audit_log a join control.tenant t"
                                 " on t.id = a.tenant_id where a.action = 'tenant.create' and"
                                 " t.slug = '" +
                                 slug + "'"),
                      "1")
                << slug;
        }
    }
    std::string tally() const {
        return fmt::format("{} registrations, {} writes", urls_.size(), names_.size());
    }

private:
    using act = void (crew::*)(unsigned);

    std::unique_ptr<served> start() {
        auto variables = who_.where().variables();
        variables["INSULA_WORKERS"] = "2";
        variables["INSULA_DATABASE_CONNECTIONS"] = "16";
        variables["INSULA_SHUTDOWN_GRACE"] = "10s";
        return std::make_unique<served>(variables);
    }
    std::string address(unsigned turn) const {
        const std::lock_guard held(guard_);
        return members_[turn % members]->address();
    }
    void repeat(unsigned number, act what) {
        for (unsigned i = number; !stopping_; ++i) {
            (this->*what)(i);
        }
    }
    /// At one after the other, with one key, until somebody gives an answer that is none of "come
    /// again".
    /// `looks` asks the database whether it has been done.
    std::optional<http_answer> insist(unsigned turn, const std::string& target, http_fields fields,
                                      const json::value& body, const std::string& looks) {
        fields.emplace_back("Idempotency-Key", who_.where().fresh_slug("crew-key"));
        for (;; ++turn) {
            const auto where = address(turn);
            try {
                http_client client(where, 10s);
                auto answer = post_json(client, target, body, fields);
                // In progress: at a process that was killed meanwhile, for a moment.
                const bool later =
                    is_problem(answer, 503, "") ||
                    (answer.status == 409 && is_problem(answer, 409, "idempotency_in_progress"));
                if (!later) {
                    return answer;
                }
            } catch (const http_failure& failure) {
                judge_cut(where, failure.what(), looks);
            }
            if (stopping_) {
                return std::nullopt;
            }
            wait_a_little();
        }
    }
    /// A process that was killed may cut whatever it was at. One that was asked to end may not have
    /// taken a connection that was on its way, but what it took it answers.
    void judge_cut(const std::string& where, const std::string& how, const std::string& looks) {
        {
            const std::lock_guard held(guard_);
            if (killed_.contains(where)) {
                return;
            }
        }
        const auto done = sql_connection(who_.database().admin_conninfo()).query(looks)[0][0];
        if (done != "0" || how.find("connect") == std::string::npos) {
            const std::lock_guard held(guard_);
            odd_.push_back(where + " was not killed and cut a request (done: " + done +
                           "): " + how);
        }
    }
    void enrol(unsigned turn) {
        const auto slug = who_.where().fresh_slug("crew");
        const auto answer = insist(
            turn, "/api/v1/auth/register", {}, registration_form(slug, slug + "@example.org"),
            "select count(*) from control.tenant where slug = '" + slug + "'");
        const std::lock_guard held(guard_);
        if (answer && answer->status == 202) {
            urls_.push_back(*answer->field("Location"));
            slugs_.push_back(slug);
        } else if (answer) {
            odd_.push_back(answer->text());
        }
    }
    void write(unsigned turn) {
        const auto name = who_.fresh_name();
        const auto answer =
            insist(turn, "/api/v1/projects", who_.people()[0].auth(), {{"name", name}},
                   "select count(*) from " + who_.people()[0].schema() +
                       ".projects where name = '" + name + "'");
        const std::lock_guard held(guard_);
        if (answer && answer->status == 201) {
            names_.push_back(name);
        } else if (answer) {
            odd_.push_back(answer->text());
        }
    }

    patient& who_;
    mutable std::mutex guard_;
    std::array<std::unique_ptr<served>, members> members_;  // under guard_, as all below
    std::vector<std::string> urls_;
    std::vector<std::string> slugs_;
    std::vector<std::string> names_;
    std::vector<std::string> odd_;
    std::set<std::string> killed_;  // addresses
    std::atomic<bool> stopping_{false};
    std::vector<std::thread> clients_;
};

TEST(service_crew, G51_killed_and_replaced_under_load_it_loses_nothing_and_doubles_nothing) {
    const auto seed = std::random_device{}();
    std::mt19937 dice(seed);
    crew all(shared_patient());
    const auto until = clock::now() + duration();
    int killed = 0;
    int ended = 0;
    do {
        const auto before = all.accepted();
        wait_until("more to be accepted", [&] { return all.accepted() >= before + 8; });
        const bool kills = killed == 0 || (ended > 0 && dice() % 2 == 0);
        all.replace(dice() % members, kills ? SIGKILL : SIGTERM);
        ++(kills ? killed : ended);
    } while (clock::now() < until || ended == 0);
    all.stop();
    all.expect_everything_done_once();
    fmt::print("{} with {} killed and {} ended (seed {})\n", all.tally(), killed, ended, seed);
}

}  // namespace
}  // namespace insula::test
