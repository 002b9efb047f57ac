#include "pg/detail/result_router.hpp"

namespace insula::pg::detail {

using event = result_router::routed::what;

void result_router::sent(std::span<const sent_part> parts) {
    parts_.insert(parts_.end(), parts.begin(), parts.end());
    units_.push_back({static_cast<std::uint32_t>(parts.size())});
}

void result_router::clear() noexcept {
    units_.clear();
    parts_.clear();
    nulls_ = 0;
}

result_router::routed result_router::take_part(event what) {
    const sent_part part = parts_.front();
    parts_.pop_front();
    --units_.front().left;
    return {what, part};
}

result_router::routed result_router::take(reply answer) {
    if (answer == reply::none) {
        // Each statement's results end with one null; a third in a row means that the Sync will
        // never come.
        return {++nulls_ >= 3 ? event::broken : event::nothing};
    }
    nulls_ = 0;
    if (units_.empty()) {
        return {event::broken};
    }
    unit_state& unit = units_.front();
    switch (answer) {
        case reply::ok:
            if (unit.left == 0 || unit.failed) {
                return {event::broken};
            }
            return take_part(event::part_ok);
        case reply::error:
            if (unit.failed) {
                return {event::broken};
            }
            unit.failed = true;
            return unit.left == 0 ? routed{event::failed_at_end} : take_part(event::part_failed);
        case reply::aborted:
            if (unit.left == 0 || !unit.failed) {
                return {event::broken};
            }
            return take_part(event::part_aborted);
        case reply::sync:
            if (unit.left != 0) {
                return {event::broken};
            }
            units_.pop_front();
            return {event::unit_done};
        default:
            return {event::broken};
    }
}

}  // namespace insula::pg::detail
