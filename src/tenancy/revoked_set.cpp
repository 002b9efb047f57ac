#include "revoked_set.hpp"

#include <algorithm>
#include <utility>

namespace insula::tenancy {
namespace {

/// States in which a tenant may stay for longer than a token lives while people hold new ones: the
/// owner of a tenant that is to be deleted may log in. Kept until another state follows.
bool lasts(tenant_status status) {
    return status == tenant_status::suspended || status == tenant_status::pending_deletion ||
           status == tenant_status::deleting;
}

verdict verdict_of(tenant_status status) {
    switch (status) {
        case tenant_status::ready:
            return verdict::good;
        case tenant_status::suspended:
            return verdict::suspended;
        case tenant_status::pending_deletion:
            return verdict::pending_deletion;
        default:
            return verdict::not_ready;
    }
}

}  // namespace

bool revoked_set::has_room(time_point at) {
    if (size() < entries_max_) {
        return true;
    }
    overflow(at);
    return false;
}

void revoked_set::overflow(time_point at) {
    incomplete_until_ = std::max(incomplete_until_, at + keep_);
}

void revoked_set::remember(feed_change::kind what, const uuid& subject, time_point at) {
    order_.push_back({at, what, subject});
}

void revoked_set::apply(const feed_change& change, time_point at) {
    switch (change.what) {
        case feed_change::kind::session:
            return apply_session(change, at);
        case feed_change::kind::tenant:
            return apply_tenant(change, at);
        case feed_change::kind::account:
            return apply_account(change, at);
    }
}

void revoked_set::apply_session(const feed_change& change, time_point at) {
    const auto version = change.version.value_or(ended);
    if (const auto found = sessions_.find(change.subject); found != sessions_.end()) {
        found->second = {std::max(found->second.version, version), at};
    } else if (has_room(at)) {
        sessions_.emplace(change.subject, aged{version, at});
        remember(change.what, change.subject, at);
    }
}

void revoked_set::apply_tenant(const feed_change& change, time_point at) {
    const bool queues = !lasts(change.status);
    if (const auto found = tenants_.find(change.subject); found != tenants_.end()) {
        auto& state = found->second;
        if (change.status == tenant_status::ready && !state.in_order) {
            tenants_.erase(found);
            return;
        }
        state.status = change.status;
        state.at = at;
        if (queues && !std::exchange(state.in_order, true)) {
            remember(change.what, change.subject, at);
        }
    } else if (change.status == tenant_status::ready) {
        return;
    } else if (has_room(at)) {
        tenants_.emplace(change.subject, tenant_state{change.status, at, queues});
        if (queues) {
            remember(change.what, change.subject, at);
        }
    } else if (!queues) {
        incomplete_until_ = time_point::max();  // until it is read afresh
    }
}

void revoked_set::apply_account(const feed_change& change, time_point at) {
    if (const auto found = accounts_.find(change.subject); found != accounts_.end()) {
        found->second = {change.closed, at};
    } else if (change.closed && has_room(at)) {
        accounts_.emplace(change.subject, account_state{true, at});
        remember(change.what, change.subject, at);
    }
}

void revoked_set::forget(const remembered& what) {
    const auto forget_in = [&](auto& map) {
        const auto found = map.find(what.subject);
        if (found->second.at <= what.at) {
            map.erase(found);
        } else {
            remember(what.what, what.subject, found->second.at);
        }
    };
    switch (what.what) {
        case feed_change::kind::session:
            return forget_in(sessions_);
        case feed_change::kind::tenant:
            if (auto& state = tenants_.at(what.subject); lasts(state.status)) {
                state.in_order = false;
                return;
            }
            return forget_in(tenants_);
        case feed_change::kind::account:
            return forget_in(accounts_);
    }
}

void revoked_set::expire(time_point now) {
    while (!order_.empty() && order_.front().at + keep_ <= now) {
        const auto first = order_.front();
        order_.pop_front();
        forget(first);
    }
}

bool revoked_set::is_closed(const uuid& account) const noexcept {
    const auto found = accounts_.find(account);
    return found != accounts_.end() && found->second.closed;
}

verdict revoked_set::check(const token::claims& who) const noexcept {
    if (!sessions_.empty()) {
        const auto found = sessions_.find(who.session.value());
        if (found != sessions_.end() && who.session_version < found->second.version) {
            return verdict::over;
        }
    }
    if (!accounts_.empty() &&
        (is_closed(who.subject.value()) || (who.actor && is_closed(who.actor->value())))) {
        return verdict::over;
    }
    if (who.tenant && !tenants_.empty()) {
        const auto found = tenants_.find(who.tenant->value());
        if (found != tenants_.end()) {
            return verdict_of(found->second.status);
        }
    }
    return verdict::good;
}

}  // namespace insula::tenancy
