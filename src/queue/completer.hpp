#pragma once
#include "insula/core/ids.hpp"
#include "insula/pg/error.hpp"
#include "insula/queue/engine.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/executor.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace insula::queue::detail {

/// The end of a run whose only step was an outside step, and what became of it.
struct completion {
    run_id id;
    std::int64_t token = 0;
    std::string step;
    int attempts = 1;
    std::optional<std::string> result;

    bool done = false;
    bool repeated = false;              ///< the answer to an earlier try was lost
    std::optional<pg::pg_error> error;  ///< neither: the claim is not ours, or not any more
};

/// Ends runs in batches: whatever has gathered while the batch before was on its way, and at once
/// when there is none. A batch whose connection broke is repeated: the tokens make that harmless,
/// while giving up would repeat outside calls. One that the server refused is taken apart.
class completer {
public:
    static constexpr std::size_t batch_max = 256;
    static constexpr unsigned lanes = 2;  ///< batches on their way at once

    explicit completer(runtime::loop& home) : home_(home), bell_(home) {}

    runtime::awaitable<completion> complete(completion what);
    /// Each lane is one of these. Ends with cancellation only.
    runtime::awaitable<void> run(engine::state& owner);

private:
    struct item {
        explicit item(runtime::loop& home) : ended(home) {}
        completion what;
        runtime::event ended;
    };
    using items = std::vector<std::shared_ptr<item>>;

    items take();
    runtime::awaitable<void> finish(engine::state& owner, items batch);
    runtime::awaitable<std::optional<pg::pg_error>> try_batch(engine::state& owner,
                                                              const items& batch);

    runtime::loop& home_;
    runtime::event bell_;
    std::deque<std::shared_ptr<item>> gathered_;
};

}  // namespace insula::queue::detail
