#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

namespace insula::queue::detail {

/// A place in a queue's line, in the order of its index.
struct place {
    std::int16_t priority = std::numeric_limits<std::int16_t>::min();
    std::int64_t vt = std::numeric_limits<std::int64_t>::min();
    auto operator<=>(const place&) const = default;
};

/// Where the next look into one queue begins. While there is more than we take, it begins where the
/// last claim ended, behind the index entries of what was claimed before (which are dead but still
/// there, and many when a long transaction pins the horizon). What comes in before that place (more
/// urgent, committed late, given back) is found by a full look: at least each second, more often
/// when it is cheap, and always after a claim that came back short. So a watermark can only delay a
/// run, and only while the engine is busy.
class watermark {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// From where to look now.
    [[nodiscard]] place from(time_point now) const {
        return short_ || now - full_at_ >= full_gap_ ? place{} : mark_;
    }
    /// What came of a look from `began`: the last run claimed (none: nothing), and whether it got
    /// as many as it asked for.
    void looked(place began, std::optional<place> last, bool filled, time_point now,
                time_point::duration took);

    static constexpr std::chrono::milliseconds full_gap_max{1'000};
    /// What full looks cost beyond other looks may be a 20th of the time: next to nothing while
    /// little is dead, and then there is one after the other.
    static constexpr int cheapness = 20;

private:
    place mark_;
    bool short_ = true;
    time_point full_at_{};
    time_point::duration full_gap_ = full_gap_max;
    time_point::duration usual_{0};  ///< of a look from the mark on; 0: none yet
};

inline void watermark::looked(place began, std::optional<place> last, bool filled, time_point now,
                              time_point::duration took) {
    if (began == place{}) {
        full_at_ = now;
        full_gap_ = std::clamp<time_point::duration>((took - usual_) * cheapness, {}, full_gap_max);
    } else {
        usual_ = usual_.count() == 0 ? took : std::min(took, usual_ + usual_ / 4);
    }
    short_ = !filled;
    if (last) {
        mark_ = *last;
    }
}

}  // namespace insula::queue::detail
