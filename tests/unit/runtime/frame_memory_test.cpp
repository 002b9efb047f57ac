#include "insula/runtime/detail/frame_memory.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace insula::runtime::detail {
namespace {

/// This thread's, for the time of a test.
struct kept_here {
    kept_here() { frames_here = &memory; }
    ~kept_here() { frames_here = nullptr; }
    frame_memory memory;
};

TEST(frame_memory, gives_a_block_again_to_whoever_needs_about_as_much) {
    const kept_here here;
    void* const block = frame_memory::allocate(300);
    frame_memory::deallocate(block, 300);
    void* const larger = frame_memory::allocate(500);
    EXPECT_NE(larger, block);
    frame_memory::deallocate(larger, 500);
    void* const again = frame_memory::allocate(3 * frame_memory::step);
    EXPECT_EQ(again, block);
    std::memset(again, 1, 3 * frame_memory::step);  // ASan: as large as it was asked for
    frame_memory::deallocate(again, 3 * frame_memory::step);
}

TEST(frame_memory, blocks_in_use_are_all_different) {
    const kept_here here;
    for (int round = 0; round < 3; ++round) {
        std::vector<std::pair<void*, std::size_t>> used;
        std::set<void*> places;
        for (std::size_t bytes = 1; bytes < 5000; bytes += 97) {
            used.emplace_back(frame_memory::allocate(bytes), bytes);
            std::memset(used.back().first, 2, bytes);
            EXPECT_TRUE(places.insert(used.back().first).second);
        }
        for (const auto& [block, bytes] : used)
            frame_memory::deallocate(block, bytes);
    }
}

TEST(frame_memory, what_one_thread_took_another_may_give_back) {
    const kept_here here;
    std::vector<void*> blocks;
    for (int i = 0; i < 100; ++i)
        blocks.push_back(frame_memory::allocate(700));
    std::thread([&] {
        const kept_here there;
        for (void* const block : blocks)
            frame_memory::deallocate(block, 700);
        EXPECT_EQ(frame_memory::allocate(700), blocks[frame_memory::kept_bytes_max / 768 - 1]);
        ::operator delete(blocks[frame_memory::kept_bytes_max / 768 - 1]);
    }).join();
}

TEST(frame_memory, keeps_no_more_than_its_bound) {
    const kept_here here;
    constexpr std::size_t bytes = 1024;
    constexpr auto kept_max = frame_memory::kept_bytes_max / bytes;
    std::vector<void*> blocks;
    for (std::size_t i = 0; i < kept_max + 1; ++i)
        blocks.push_back(frame_memory::allocate(bytes));
    for (void* const block : blocks)
        frame_memory::deallocate(block, bytes);
    // The last did not fit and went back; the others come again, the latest first.
    for (std::size_t i = kept_max; i > 0; --i)
        EXPECT_EQ(frame_memory::allocate(bytes), blocks[i - 1]);
    for (std::size_t i = 0; i < kept_max; ++i)
        frame_memory::deallocate(blocks[i], bytes);
}

TEST(frame_memory, without_a_loop_nothing_is_kept) {
    std::thread([] {  // a new one, for which nobody has set anything
        EXPECT_EQ(frames_here, nullptr);
        void* const block = frame_memory::allocate(200);
        std::memset(block, 3, 200);
        frame_memory::deallocate(block, 200);
        void* const large = frame_memory::allocate(100'000);
        std::memset(large, 4, 100'000);
        frame_memory::deallocate(large, 100'000);
    })
        .join();
}

}  // namespace
}  // namespace insula::runtime::detail
