// Whether one of two series of times is longer, told by their order alone, so that a machine that
// stalls now and then moves it no more than any other sample does.
#pragma once

#include <algorithm>
#include <vector>

namespace insula::test {

/// The chance that one of `a` is longer than one of `b` (Mann and Whitney's U, as a share; ties
/// count half). 0.5 when time tells nothing, 1 or 0 when it tells everything.
inline double share_longer(const std::vector<double>& a, std::vector<double> b) {
    std::ranges::sort(b);
    double above = 0;
    for (const double x : a) {
        const auto [low, high] = std::ranges::equal_range(b, x);
        above += static_cast<double>(low - b.begin()) + static_cast<double>(high - low) / 2;
    }
    return above / (static_cast<double>(a.size()) * static_cast<double>(b.size()));
}

}  // namespace insula::test
