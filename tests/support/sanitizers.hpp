// How this program and the service were built, for tests that measure memory.
#pragma once

#include <cstddef>

namespace insula::test {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif
#if __has_feature(thread_sanitizer)
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif
#else
inline constexpr bool address_sanitizer = false;
inline constexpr bool thread_sanitizer = false;
#endif

/// What a bound of memory or time is multiplied by: red zones, shadows, and freed memory that is
/// kept for a while.
inline constexpr std::size_t sanitizers_factor = address_sanitizer || thread_sanitizer ? 6 : 1;

}  // namespace insula::test
