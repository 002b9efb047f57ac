// Three processes share runs of every kind while they are killed, stopped beyond their lease and
// cut off at random. The seed is printed; INSULA_TORTURE_SEED repeats it, INSULA_TORTURE_RUNS makes
// it longer.

#include "child.hpp"
#include "journey.hpp"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>

namespace insula::queue::test_support {
namespace {

unsigned setting(const char* name, unsigned otherwise) {
    const char* text = std::getenv(name);
    return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

class torture {
public:
    torture(unsigned seed, unsigned runs) : random_(seed), runs_(runs) {
        set_call_conninfo(world_.worker_conninfo());
        for (auto& c : children_) {
            spawn(c);
        }
    }
    world& tables() { return world_; }

    /// Enqueues everything while it harms at random, then heals and waits: true when all has ended.
    bool rage(std::chrono::milliseconds patience_after) {
        while (accepted_.size() < runs_) {
            enqueue_some();
            harm();
            std::this_thread::sleep_for(
                std::chrono::milliseconds(pick(60)));  // the rhythm of the harm
        }
        const auto patience = std::chrono::steady_clock::now() + 15s;
        while (left() > 0 && std::chrono::steady_clock::now() < patience) {
            harm();
            std::this_thread::sleep_for(std::chrono::milliseconds(pick(120)));
        }
        const auto until = std::chrono::steady_clock::now() + patience_after;
        while (left() > 0) {
            if (std::chrono::steady_clock::now() > until) {
                return false;
            }
            heal();
            std::this_thread::sleep_for(20ms);  // between two looks
        }
        return true;
    }
    /// What each run was to come to.
    void check_outcomes() {
        for (const auto& [id, effects] : accepted_) {
            const std::string got = world_.effects_of(id);
            EXPECT_EQ(got, effects) << id.str() << " is " << world_.state_of(id);
        }
        EXPECT_EQ(world_.text("select count(*) from queue.history"),
                  std::to_string(accepted_.size()));
    }
    std::string summary() const {
        return std::to_string(accepted_.size()) + " runs, " + std::to_string(kills_) + " kills, " +
               std::to_string(stops_) + " stops, " + std::to_string(cuts_) + " connections cut";
    }

private:
    struct slot {
        std::unique_ptr<child_process> process;
        std::optional<std::chrono::steady_clock::time_point> stopped_until;
    };

    unsigned pick(unsigned below) {
        return std::uniform_int_distribution<unsigned>(0, below - 1)(random_);
    }
    void spawn(slot& s) {
        s.stopped_until.reset();
        s.process = std::make_unique<child_process>(
            world_, pick(2) == 0 ? runtime::backend::epoll : runtime::backend::io_uring,
            // Somewhere it stops by itself in the middle of a step, its lease runs out, and it
            // wakes up there.
            "queue.after_effect:" + std::to_string(1 + pick(30)) + ":stop");
    }
    unsigned left() {
        return static_cast<unsigned>(
            std::stoul(world_.text("select count(*) from queue.run where state <> 3")));
    }

    void enqueue_some() {
        const struct {
            std::string_view kind;
            journey_input input;
            std::string effects;
        } kinds[] = {
            {journey::kind, {}, "a+ b+ d+"},
            {journey::kind, {"d", 0, "final", ""}, "a+ b+ b- a-"},
            {journey::kind, {"c", 0, "final", ""}, "a+ b+ b- a-"},
            {journey::kind, {"b", 1, "retryable", ""}, "a+ b+ d+"},
            {tour::kind, {}, "make+ open+ book+"},
            {tour::kind, {"open", 0, "final", ""}, ""},
            {single::kind, {}, "only+"},
        };
        for (unsigned i = 0; i < 5; ++i) {
            const auto& k = kinds[pick(static_cast<unsigned>(std::size(kinds)))];
            const run_id id = run_id::make();
            world_.db().query_admin(
                "with e as (select queue.enqueue($1, $2, 1, 0::smallint, 0::smallint, null, null, "
                "null, '1 day',"
                " $3, null, '0', null, $4) as id) select count(*) from e",
                {id.str(), std::string(k.kind),
                 pick(4) == 0 ? std::optional("key " + std::to_string(pick(3))) : std::nullopt,
                 encode_input(k.input)});
            accepted_.emplace(id, k.effects);
        }
    }

    void harm() {
        slot& victim = children_[pick(3)];
        switch (pick(8)) {
            case 0:
            case 1:
                victim.process->signal(SIGKILL);
                victim.process->wait();
                spawn(victim);
                ++kills_;
                break;
            case 2:
                if (!victim.stopped_until) {
                    victim.process->signal(SIGSTOP);
                    victim.stopped_until = std::chrono::steady_clock::now() + lease + 300ms;
                    ++stops_;
                }
                break;
            case 3:
            case 4:
                world_.db().query_admin(
                    "select pg_terminate_backend(pid) from pg_stat_activity where usename = '" +
                    world_.db().role_prefix() + "_worker' order by random() limit 1");
                ++cuts_;
                break;
            default:
                break;
        }
        for (slot& s : children_) {
            if (!s.stopped_until && s.process->stopped(0ms)) {
                s.stopped_until = std::chrono::steady_clock::now() + lease + 300ms;
                ++stops_;
            }
            if (s.stopped_until && std::chrono::steady_clock::now() > *s.stopped_until) {
                s.process->signal(SIGCONT);
                s.stopped_until.reset();
            }
        }
    }
    void heal() {
        for (slot& s : children_) {
            s.process->signal(SIGCONT);
        }
    }

    world world_;
    std::mt19937 random_;
    unsigned runs_;
    slot children_[3];
    std::map<run_id, std::string> accepted_;
    unsigned kills_ = 0, stops_ = 0, cuts_ = 0;
};

TEST(queue_torture, G31_G32_nothing_is_lost_and_nothing_done_twice) {
    const unsigned seed = setting("INSULA_TORTURE_SEED", std::random_device()());
    std::printf("INSULA_TORTURE_SEED=%u\n", seed);
    SCOPED_TRACE(seed);
    torture t(seed, setting("INSULA_TORTURE_RUNS", 300));
    // Crashes cost attempts, and here nobody shall run out of them.
    t.tables().db().query_admin("alter table queue.run alter max_attempts set default 1000");
    ASSERT_TRUE(t.rage(60s));
    t.check_outcomes();
    EXPECT_TRUE(t.tables().in_order());
    std::printf("%s\n", t.summary().c_str());
}

/// The same scan over one zombie without the fence, stopped in the middle of a step: it must find
/// what that did, or it proves nothing.
TEST(queue_torture, negative_control_a_zombie_without_the_fence_is_found_out) {
    world w;
    set_call_conninfo(w.worker_conninfo());
    const run_id id = w.enqueue(request_for<journey>({}));
    child_process zombie(w, runtime::backend::epoll, "queue.after_effect:2:stop", true);
    ASSERT_TRUE(zombie.stopped());
    process rescuer(w.worker_conninfo(), test_workflows(), quick(lease), runtime::backend::epoll);
    ASSERT_TRUE(w.ends(id, "done"));
    ASSERT_TRUE(w.in_order());
    zombie.signal(SIGCONT);
    EXPECT_TRUE(w.becomes("select count(*) from t.effect where step = 'b'", "2"));
    EXPECT_FALSE(test::queue_violations(w.db(), "t.effect", "t.call").empty());
}

}  // namespace
}  // namespace insula::queue::test_support
