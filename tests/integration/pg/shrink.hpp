#pragma once
// A long sequence that fails, made as short as it can be and still fail.

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace insula::pg::test_support {

/// What is left of `sequence` when no part of it can be taken away any more without `fails`
/// answering false. Takes away halves first, then quarters, down to single ones (delta debugging);
/// asks at most `tries_max` times. `fails(sequence)` must be true.
template <class T>
std::vector<T> shrink(std::vector<T> sequence,
                      const std::function<bool(const std::vector<T>&)>& fails,
                      int tries_max = 300) {
    for (std::size_t part = std::max<std::size_t>(sequence.size() / 2, 1);;) {
        bool shorter = false;
        for (std::size_t at = 0; at < sequence.size() && tries_max > 0;) {
            const auto end = std::min(at + part, sequence.size());
            auto without = sequence;
            without.erase(without.begin() + static_cast<std::ptrdiff_t>(at),
                          without.begin() + static_cast<std::ptrdiff_t>(end));
            --tries_max;
            if (!without.empty() && fails(without)) {
                sequence = std::move(without);
                shorter = true;
            } else {
                at = end;
            }
        }
        if (tries_max == 0 || (part == 1 && !shorter)) {
            return sequence;
        }
        part = std::max<std::size_t>(part / 2, 1);
    }
}

}  // namespace insula::pg::test_support
