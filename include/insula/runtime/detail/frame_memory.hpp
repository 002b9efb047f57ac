#pragma once

#include <array>
#include <cstddef>
#include <new>

namespace insula::runtime::detail {

// Memory of coroutine frames, kept by the thread of a running loop for the next frame of about the
// same size. Asio's own cache holds two blocks, of whatever sizes, and nothing above 1 KB: a
// request that is a few frames deep misses it every time. A block may be given back on another
// thread than it came from, and where no loop runs (or under AddressSanitizer, which shall see
// every use of a frame that is gone) it goes straight to the allocator.
class frame_memory {
public:
    static constexpr std::size_t step = 128;
    static constexpr std::size_t classes = 24;                // up to 3 KB
    static constexpr std::size_t kept_bytes_max = 64 * 1024;  // of each class

    frame_memory() = default;
    frame_memory(const frame_memory&) = delete;
    frame_memory& operator=(const frame_memory&) = delete;
    ~frame_memory() {
        for (auto& of : kept_) {
            while (of.first != nullptr) {
                ::operator delete(of.take());
            }
        }
    }

    static void* allocate(std::size_t bytes);
    static void deallocate(void* memory, std::size_t bytes) noexcept;

private:
    struct block {
        block* next;
    };
    struct list {
        block* first = nullptr;
        std::size_t size = 0;

        void* take() noexcept {
            block* const taken = first;
            first = taken->next;
            --size;
            return taken;
        }
    };

    static std::size_t class_of(std::size_t bytes) noexcept { return (bytes - 1) / step; }

    std::array<list, classes> kept_;
};

inline constinit thread_local frame_memory* frames_here = nullptr;

inline void* frame_memory::allocate(std::size_t bytes) {
    const auto index = class_of(bytes);
    if (index >= classes) {
        return ::operator new(bytes);
    }
    if (frames_here != nullptr && frames_here->kept_[index].first != nullptr) {
        return frames_here->kept_[index].take();
    }
    return ::operator new((index + 1) * step);
}

inline void frame_memory::deallocate(void* memory, std::size_t bytes) noexcept {
    const auto index = class_of(bytes);
    if (index < classes && frames_here != nullptr) {
        if (auto& of = frames_here->kept_[index];
            (of.size + 1) * (index + 1) * step <= kept_bytes_max) {
            of.first = ::new (memory) block{of.first};
            ++of.size;
            return;
        }
    }
    ::operator delete(memory);
}

}  // namespace insula::runtime::detail
