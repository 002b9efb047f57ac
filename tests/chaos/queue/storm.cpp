#include "storm.hpp"

#include <cstdlib>
#include <set>
#include <thread>

namespace insula::queue::test_support {

namespace {

/// Shorter than most processes live here: who dies at once never rescues anybody.
constexpr auto storm_lease = 400ms;

struct kind_of_run {
    std::string_view kind;
    journey_input input;
    std::string_view effects;
    std::string_view state;
};

const std::vector<kind_of_run>& kinds() {
    static const std::vector<kind_of_run> all{
        {"test.journey", {}, "a+ b+ d+", "done"},
        {"test.journey", {"d", 0, "final", ""}, "a+ b+ b- a-", "failed"},
        {"test.journey", {"c", 0, "final", ""}, "a+ b+ b- a-", "failed"},
        {"test.journey", {"b", 1, "retryable", ""}, "a+ b+ d+", "done"},
        {"test.journey", {"c", 1, "throw", ""}, "a+ b+ d+", "done"},
        {"test.journey", {"", 0, "", "test.single"}, "a+ b+ d+", "done"},
        {"test.tour", {}, "make+ open+ book+", "done"},
        {"test.tour", {"open", 0, "final", ""}, "", "failed"},
        {"test.tour", {"book", 0, "final", ""}, "make+ open+", "failed"},
        {"test.single", {}, "only+", "done"},
        {"test.errand", {}, "", "done"},
        {"test.errand", {"go", 1, "retryable", ""}, "", "done"},
        {"test.heaps", {}, "", "done"},
        {"test.heaps", {"heap2", 1, "", ""}, "", "done"},
        {"test.heaps", {"last", 0, "", ""}, "", "failed"},
    };
    return all;
}

}  // namespace

unsigned setting(const char* name, unsigned otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

storm::storm(storm_options options)
    : options_(options),
      random_(options.seed),
      server_(test::cluster::start()),
      world_(*server_),
      gate_(*server_),
      slots_(options.processes) {
    // Crashes cost attempts, and here nobody shall run out of them.
    ask("alter table queue.run alter max_attempts set default 1000");
    for (slot& s : slots_) {
        spawn(s);
    }
}

storm::~storm() {
    slots_.clear();
}

unsigned storm::pick(unsigned below) {
    return std::uniform_int_distribution<unsigned>(0, below - 1)(random_);
}

test::rows storm::ask(const std::string& sql,
                      const std::vector<std::optional<std::string>>& params) {
    for (int tries = 1;; ++tries) {
        try {
            return params.empty() ? world_.db().query_admin(sql)
                                  : world_.db().query_admin(sql, params);
        } catch (const test::query_failed& e) {
            if (tries == 100 || e.sqlstate().substr(0, 2) == "23" || e.sqlstate() == "42601") {
                throw;
            }
        } catch (const std::exception&) {
            if (tries == 100) {
                throw;
            }
        }
        std::this_thread::sleep_for(20ms);  // the server is on its way
    }
}

void storm::spawn(slot& s) {
    s.stopped_until.reset();
    child_options how;
    how.kind = chance(50) ? runtime::backend::epoll : runtime::backend::io_uring;
    // Somewhere it stops by itself in the middle of a step, its lease runs out, and it wakes up
    // there.
    how.fault = "queue.after_effect:" + std::to_string(1 + pick(20)) + ":stop";
    how.unfenced = options_.unfenced;
    how.lease = storm_lease;
    how.clock_file = clock_.file();
    if (chance(60)) {
        how.conninfo = gate_.conninfo(world_.db().name(), world_.db().role_prefix() + "_worker");
    }
    s.process = std::make_unique<child_process>(world_, how);
}

bool storm::exists(run_id id) {
    return !ask("select from queue.status('" + id.str() + "')").empty();
}

void storm::enqueue_one() {
    const kind_of_run& k = kinds()[pick(static_cast<unsigned>(kinds().size()))];
    const run_id id = run_id::make();
    const auto key = chance(25) ? std::optional("key " + std::to_string(pick(3))) : std::nullopt;
    const std::string delay = chance(15) ? std::to_string(pick(800)) + " ms" : "0";
    try {
        ask("with e as (select queue.enqueue($1, $2, 1, 0::smallint, 0::smallint, null, null, null,"
            " '1 day', $3, null, $4::interval, null, $5) as id) select count(*) from e",
            {id.str(), std::string(k.kind), key, delay, encode_input(k.input)});
    } catch (const test::query_failed&) {
        // The server died under the first try, which had landed.
        if (!exists(id)) {
            throw;
        }
    }
    accepted_.emplace(id, promise{std::string(k.effects), std::string(k.state)});
    order_.push_back(id);
}

run_id storm::any_run() {
    // Mostly one of the last, which are alive.
    const auto size = static_cast<unsigned>(order_.size());
    return order_[chance(80) ? size - 1 - pick(std::min(size, 40U)) : pick(size)];
}

void storm::operate() {
    if (order_.empty()) {
        return;
    }
    const run_id id = any_run();
    if (chance(50)) {
        if (ask("select outcome from queue.cancel_run('" + id.str() + "')").at(0).at(0) == "0") {
            accepted_.at(id).disturbed = true;
            ++cancels_;
        }
        return;
    }
    const run_id fresh = run_id::make();
    ask("select outcome from queue.retry_run($1, $2)", {id.str(), fresh.str()});
    ++retries_;
    if (exists(fresh)) {
        promise again = accepted_.at(id);
        again.disturbed = false;
        accepted_.emplace(fresh, again);
        order_.push_back(fresh);
    }
}

void storm::cut_a_commit() {
    gate_.set(chance(50) ? test::gate::mode::cut_before_sync : test::gate::mode::cut_after_sync);
    gate_.set_needle(std::string("commit\0", 7));
    ++commits_cut_;
}

void storm::restart_the_server() {
    server_->kill_server();
    std::this_thread::sleep_for(std::chrono::milliseconds(pick(300)));  // how long it is away
    server_->start_server();
    ++restarts_;
}

void storm::wake_the_stopped(bool all) {
    const auto now = std::chrono::steady_clock::now();
    for (slot& s : slots_) {
        if (!s.stopped_until && s.process->stopped(0ms)) {
            s.stopped_until = now + storm_lease + 300ms;
            ++stops_;
        }
        if (all || (s.stopped_until && now > *s.stopped_until)) {
            zombies_ += s.stopped_until && now > *s.stopped_until ? 1 : 0;
            s.process->signal(SIGCONT);
            s.stopped_until.reset();
        }
    }
}

void storm::harm() {
    slot& victim = slots_[pick(options_.processes)];
    const unsigned what = pick(100);
    if (what < 12 && victim.stopped_until && !chance(5)) {
        // It shall wake up as a zombie.
    } else if (what < 12) {
        victim.process->signal(SIGKILL);
        victim.process->wait();
        spawn(victim);
        ++kills_;
    } else if (what < 20 && !victim.stopped_until) {
        victim.process->signal(SIGSTOP);
        victim.stopped_until = std::chrono::steady_clock::now() + storm_lease + 300ms;
        ++stops_;
    } else if (what < 30) {
        ask("select pg_terminate_backend(pid) from pg_stat_activity where usename = '" +
            world_.db().role_prefix() + "_worker' order by random() limit 1");
        ++cuts_;
    } else if (what < 42) {
        cut_a_commit();
    } else if (what < 44 && options_.restarts) {
        restart_the_server();
    } else if (what < 49) {
        constexpr int offsets[] = {0, 3600, -3600};
        clock_.jump_to(std::chrono::seconds(offsets[pick(3)]));
        ++jumps_;
    } else if (what < 65) {
        operate();
    }
    wake_the_stopped(false);
}

unsigned storm::left() {
    return static_cast<unsigned>(
        std::stoul(ask("select count(*) from queue.run where state <> 3").at(0).at(0)));
}

void storm::rage(const std::function<bool()>& enough) {
    for (unsigned round = 1; kills_ < options_.kills; ++round) {
        if (round % 8 == 0 && enough && enough()) {
            return;
        }
        if (round % 4 != 1 || left() < 80) {
            for (unsigned i = pick(8); i > 0; --i) {
                enqueue_one();
            }
        }
        harm();
        std::this_thread::sleep_for(std::chrono::milliseconds(pick(80)));  // the rhythm of the harm
    }
}

testing::AssertionResult storm::calm(std::chrono::milliseconds patience) {
    gate_.set(test::gate::mode::pass);
    clock_.jump_to(0s);
    const auto until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
        wake_the_stopped(true);
        ask("select queue.resume_run(id) from queue.run where state = 3");
        if (ask("select count(*) from queue.run").at(0).at(0) == "0") {
            return testing::AssertionSuccess();
        }
        std::this_thread::sleep_for(20ms);  // between two looks
    }
    return testing::AssertionFailure()
           << world_.text("select string_agg(r::text, e'\\n') from queue.run r")
           << "\nready: " << world_.text("select count(*) from queue.ready");
}

std::vector<std::string> storm::surprises() {
    std::vector<std::string> found;
    for (const auto& [id, promised] : accepted_) {
        const std::string state = world_.state_of(id);
        const std::string effects = world_.effects_of(id);
        const bool as_promised = state == promised.state && effects == promised.effects;
        if (!as_promised && !(promised.disturbed && state == "cancelled")) {
            found.push_back(id.str() + " is " + state + " with '" + effects + "', not " +
                            promised.state + " with '" + promised.effects + "'");
        }
    }
    for (const auto& r : world_.db().query_admin(
             "select h.id, string_agg(n.what, ' ' order by n.n) from queue.history h"
             " join t.note n on n.run = h.id where h.kind = 'test.heaps' and h.state <> 6"
             " group by h.id, h.state having string_agg(n.what, ' ' order by n.n) <> case h.state"
             " when 4 then 'first heap1 heap2 heap3 last after heap3'"
             " else 'first heap1 heap2 heap3 unheap1 unheap2 unfirst' end")) {
        found.push_back(r[0] + " has done '" + r[1] + "'");
    }
    for (const auto& r : world_.db().query_admin(
             "select s.run || ' ' || s.name from queue.step s where s.state = 1 and s.name in "
             "('c', 'go')"
             " and not exists (select from t.call c where c.run = s.run and c.step = s.name"
             " and c.direction = s.direction)")) {
        found.push_back("never called: " + r[0]);
    }
    return found;
}

std::string storm::summary() const {
    const auto count = [](unsigned n, const char* what) {
        return ", " + std::to_string(n) + " " + what;
    };
    return std::to_string(accepted_.size()) + " runs in " + std::to_string(options_.processes) +
           " processes" + count(kills_, "kills") + count(stops_, "stops") +
           count(zombies_, "of them awake again after the lease") +
           count(cuts_, "connections cut") + count(commits_cut_, "cuts at COMMIT") +
           count(restarts_, "restarts of PostgreSQL") + count(jumps_, "clock jumps") +
           count(cancels_, "cancels") + count(retries_, "retries");
}

}  // namespace insula::queue::test_support
