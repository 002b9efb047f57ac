#include "pg/detail/pool_machine.hpp"

#include <algorithm>
#include <stdexcept>

namespace insula::pg::detail {

using action = pool_machine::decision::what;

pool_machine::node& pool_machine::expect(node_id id, node_state state) {
    node& n = nodes_.at(id);
    if (n.state != state) {
        throw std::logic_error(
            "pool_machine: a connection is not in the state its event belongs to");
    }
    return n;
}

std::size_t pool_machine::count(node_state state) const noexcept {
    return static_cast<std::size_t>(std::count_if(nodes_.begin(), nodes_.end(),
                                                  [&](const node& n) { return n.state == state; }));
}

pool_machine::decision pool_machine::plan(clock::time_point now, std::size_t waiting) {
    if (waiting == 0) {
        return {action::nothing};
    }
    std::optional<node_id> idle;
    std::optional<node_id> vacant;
    std::size_t connecting = 0;
    std::size_t hanging = 0;
    for (node_id i = 0; i < nodes_.size(); ++i) {
        const node& n = nodes_[i];
        if (n.state == node_state::idle && (!idle || n.idle_since > nodes_[*idle].idle_since)) {
            idle = i;
        } else if (n.state == node_state::vacant && !vacant) {
            vacant = i;
        } else if (n.state == node_state::connecting) {
            ++(n.connecting_since + attempt_patience <= now ? hanging : connecting);
        }
    }
    if (idle) {
        nodes_[*idle].state = node_state::lent;
        return {action::lend, *idle};
    }
    const bool careful = backoff_.failing() || hanging > 0;
    if (!vacant || connecting >= waiting || (careful && connecting > 0)) {
        return {action::nothing};
    }
    if (!backoff_.may_try(now)) {
        return {action::wait, 0, backoff_.next()};
    }
    nodes_[*vacant].state = node_state::connecting;
    nodes_[*vacant].connecting_since = now;
    return {.action = action::open, .node = *vacant, .second = hanging > 0};
}

void pool_machine::opened(node_id id, clock::time_point now) {
    node& n = expect(id, node_state::connecting);
    n.state = node_state::idle;
    n.idle_since = now;
    backoff_.succeeded();
}

void pool_machine::open_failed(node_id id, clock::time_point now, double random) {
    expect(id, node_state::connecting).state = node_state::vacant;
    backoff_.failed(now, random);
}

void pool_machine::open_cancelled(node_id id) {
    expect(id, node_state::connecting).state = node_state::vacant;
}

void pool_machine::given_back(node_id id, clock::time_point now) {
    node& n = expect(id, node_state::lent);
    n.state = node_state::idle;
    n.idle_since = now;
}

void pool_machine::dropped(node_id id) {
    node& n = nodes_.at(id);
    if (n.state != node_state::idle) {
        expect(id, node_state::lent);
    }
    n.state = node_state::vacant;
}

std::optional<pool_machine::node_id> pool_machine::take_expired(clock::time_point limit) {
    for (node_id i = 0; i < nodes_.size(); ++i) {
        if (nodes_[i].state == node_state::idle && nodes_[i].idle_since <= limit) {
            nodes_[i].state = node_state::vacant;
            return i;
        }
    }
    return std::nullopt;
}

shared_choice choose_shared(const std::vector<shared_view>& places, std::size_t pipeline_max,
                            std::size_t grow_at) {
    shared_choice choice;
    std::size_t vacant = shared_choice::none;
    bool connecting = false;
    for (std::size_t i = 0; i < places.size(); ++i) {
        const shared_view& p = places[i];
        if (p.connecting) {
            connecting = true;
        } else if (!p.open) {
            vacant = std::min(vacant, i);
        } else if (p.in_flight < pipeline_max && (choice.use == shared_choice::none ||
                                                  p.in_flight < places[choice.use].in_flight)) {
            choice.use = i;
        }
    }
    const bool crowded =
        choice.use == shared_choice::none || places[choice.use].in_flight >= grow_at;
    if (crowded && !connecting) {
        choice.open = vacant;
    }
    return choice;
}

}  // namespace insula::pg::detail
