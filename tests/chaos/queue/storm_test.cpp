// The proof of the queue (QUEUE.md section 9). The seed is printed; INSULA_CHAOS_SEED repeats its
// choices, INSULA_CHAOS_KILLS makes it longer (the default takes about 15 s).

#include "storm.hpp"

#include <cstdio>

namespace insula::queue::test_support {
namespace {

TEST(queue_storm, G31_G32_G38_G51_nothing_is_lost_and_nothing_done_twice) {
    storm_options options;
    options.seed = setting("INSULA_CHAOS_SEED", std::random_device()());
    options.kills = setting("INSULA_CHAOS_KILLS", 12);
    options.processes = 2 + options.seed % 3;
    std::printf("INSULA_CHAOS_SEED=%u\n", options.seed);
    SCOPED_TRACE(options.seed);
    storm s(options);
    s.rage();
    ASSERT_TRUE(s.calm(120s)) << s.summary();
    EXPECT_TRUE(s.tables().in_order());
    for (const std::string& surprise : s.surprises()) {
        ADD_FAILURE() << surprise;
    }
    std::printf("%s\n", s.summary().c_str());
}

/// The same storm with engines that do not fence: if the scan finds nothing, it proves nothing.
TEST(queue_storm, G32_negative_control_without_the_fence_the_scan_finds_what_broke) {
    storm_options options;
    options.seed = setting("INSULA_CHAOS_SEED", std::random_device()());
    std::printf("INSULA_CHAOS_SEED=%u\n", options.seed);
    options.kills = 200;
    options.unfenced = true;
    options.restarts = false;
    storm s(options);
    std::vector<std::string> broken;
    s.rage([&] {
        const auto found = test::queue_violations(s.tables().db(), "t.effect", "t.call");
        for (const std::string& rule : found) {
            if (rule.starts_with("I2: an effect once")) {
                broken.push_back(rule);
            }
        }
        return !broken.empty();
    });
    EXPECT_FALSE(broken.empty()) << s.summary();
}

/// One zombie without the fence, stopped in the middle of a step.
TEST(queue_storm, G32_negative_control_one_zombie_without_the_fence_is_found_out) {
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
