// SIGTERM in every state that a process may be in. The grace is 4 seconds.
#include "patient.hpp"

#include <csignal>
#include <future>

namespace insula::test {
namespace {

constexpr auto grace = 4s;
constexpr const char* projects_path = "/api/v1/projects";

/// A process with a gate of its own before the patient's database.
struct mortal {
    explicit mortal(patient& who, const environment& more = {})
        : between({}, {.path = who.server().socket_folder() + "/.s.PGSQL." +
                               std::to_string(who.server().port())}) {
        auto variables = who.variables_behind();
        const auto local = between.address();
        variables["INSULA_DATABASE_URL"] =
            "host=127.0.0.1 port=" + local.substr(local.find(':') + 1) +
            " dbname=" + who.database().name();
        variables["INSULA_SHUTDOWN_GRACE"] = "4s";
        for (const auto& [name, value] : more) {
            variables[name] = value;
        }
        settings = variables;
    }
    served& start(const std::vector<std::string>& arguments = {}) {
        process = std::make_unique<served>(settings, arguments);
        return *process;
    }
    /// How long it took to end, with exit code 0.
    void end_within(std::chrono::milliseconds limit, const std::string& state) {
        const auto began = clock::now();
        process->process().signal(SIGTERM);
        EXPECT_EQ(process->process().wait(30s), 0) << state << process->process().err();
        EXPECT_LE(clock::now() - began, limit) << state;
    }

    gate between;
    environment settings;
    std::unique_ptr<served> process;
};

/// A request on a connection of its own.
std::future<std::optional<http_answer>> in_flight(const served& to, const person& by,
                                                  const std::string& name) {
    return std::async(std::launch::async, [address = to.address(), by, name] {
        try {
            http_client client(address, 20s);
            return std::optional(post_json(client, projects_path, {{"name", name}}, by.auth()));
        } catch (const http_failure&) {
            return std::optional<http_answer>();
        }
    });
}

void wait_for_requests(served& at, int how_many) {
    auto client = at.client();
    wait_until("the requests to be in flight", [&] {
        return metric_sum(client, "insula_http_in_flight", "server=\"public\"") > how_many;
    });
}

void idle(patient& who) {
    mortal one(who);
    auto client = one.start().client();
    EXPECT_EQ(get(client, projects_path, who.people()[0].auth()).status, 200);
    one.end_within(2s, "idle");
    EXPECT_THROW(get(client, "/livez"), http_failure);
}

void under_load(patient& who) {
    mortal one(who);
    auto& service = one.start();
    auto client = service.client();
    EXPECT_EQ(get(client, projects_path, who.people()[0].auth()).status, 200);
    one.between.set(fault::both_ways({.delay = 150ms}));
    std::vector<std::future<std::optional<http_answer>>> answers;
    for (int i = 0; i < 8; ++i) {
        answers.push_back(in_flight(service, who.people()[0], who.fresh_name()));
    }
    wait_for_requests(service, 8);
    one.end_within(grace, "under load");
    for (auto& each : answers) {
        const auto answer = each.get();
        ASSERT_TRUE(answer) << "a request that was accepted got no answer";
        EXPECT_EQ(answer->status, 201) << answer->text();
    }
}

void database_gone(patient& who) {
    mortal one(who);
    auto& service = one.start(who.arguments());
    auto client = service.client();
    EXPECT_EQ(get(client, projects_path, who.people()[0].auth()).status, 200);
    one.between.set({.entry = fault::door::gone});
    wait_until("the connections to be cut", [&] { return one.between.carried() == 0; });
    auto answer = in_flight(service, who.people()[0], who.fresh_name());
    wait_for_requests(service, 1);
    one.end_within(grace + 1s, "the database is gone");
    const auto said = answer.get();
    ASSERT_TRUE(said);
    EXPECT_TRUE(is_problem(*said, 503, "overloaded"));
}

void database_hung(patient& who) {
    mortal one(who);
    auto& service = one.start(who.arguments());
    auto client = service.client();
    EXPECT_EQ(get(client, projects_path, who.people()[0].auth()).status, 200);
    one.between.set(gate::mode::hold);
    auto answer = in_flight(service, who.people()[0], who.fresh_name());
    wait_for_requests(service, 1);
    one.end_within(grace + 1s, "the database hangs");
    const auto said = answer.get();
    ASSERT_TRUE(said);
    EXPECT_TRUE(is_problem(*said, 503, "overloaded"));
}

void starting(patient& who) {
    mortal one(who);
    one.between.set(gate::mode::hold);
    std::vector<std::string> words{"serve"};
    words.insert(words.end(), who.arguments().begin(), who.arguments().end());
    child_process process(insula_binary(), words, one.settings);
    wait_until("it to ask the database", [&] { return one.between.attempts() > 0; });
    const auto began = clock::now();
    process.signal(SIGTERM);
    EXPECT_EQ(process.wait(30s), 1) << "it has not done what it was started for";
    EXPECT_LE(clock::now() - began, 1s) << "while starting";
}

// Each has a process of its own, so all at once.
TEST(service_end, G53_in_every_state_within_the_grace) {
    patient& who = shared_patient();
    std::vector<std::future<void>> states;
    for (const auto state : {idle, under_load, database_gone, database_hung, starting}) {
        states.push_back(std::async(std::launch::async, [state, &who] { state(who); }));
    }
    for (auto& each : states) {
        each.get();
    }
}

}  // namespace
}  // namespace insula::test
