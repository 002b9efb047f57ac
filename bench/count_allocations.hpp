#pragma once
// Counts calls of operator new in the whole program. Include in exactly one file of a program. What
// C libraries malloc() is not counted: OpenSSL's own allocations show in the time only.

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace insula::bench {
inline std::atomic<std::size_t> allocations{0};
}

void* operator new(std::size_t size) {
    insula::bench::allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* const memory = std::malloc(size != 0 ? size : 1)) {
        return memory;
    }
    throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t align) {
    insula::bench::allocations.fetch_add(1, std::memory_order_relaxed);
    const auto to = static_cast<std::size_t>(align);
    if (void* const memory = std::aligned_alloc(to, (size + to - 1) / to * to)) {
        return memory;
    }
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
