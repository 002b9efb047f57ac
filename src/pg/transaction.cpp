#include "insula/pg/transaction.hpp"

#include "insula/core/random.hpp"
#include "insula/runtime/timer.hpp"

#include <algorithm>

namespace insula::pg::detail {

runtime::awaitable<void> transaction_pause(unsigned attempt, runtime::deadline until) {
    using std::chrono::microseconds;
    const std::int64_t longest_us =
        std::min<std::int64_t>(5'000LL << std::min(attempt, 10U), 100'000);
    const auto pause =
        static_cast<std::int64_t>(random_u64() % static_cast<std::uint64_t>(longest_us));
    co_await runtime::sleep_until(runtime::deadline::after(microseconds(pause)).sooner(until));
}

}  // namespace insula::pg::detail
