#include "revoked_set.hpp"

#include <algorithm>

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
    // The queue counts, too: the same few sessions may be named again and again.
    if (size() < entries_max_ && order_.size() < entries_max_) {
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
        case feed_change::kind::session: {
            if (has_room(at)) {
                auto& entry = sessions_[change.subject];
                entry = {std::max(entry.version, change.version.value_or(ended)), at};
                remember(change.what, change.subject, at);
            }
            return;
        }
        case feed_change::kind::tenant:
            if (change.status == tenant_status::ready) {
                tenants_.erase(change.subject);
            } else if (has_room(at)) {
                tenants_[change.subject] = {change.status, at};
                if (!lasts(change.status)) {
                    remember(change.what, change.subject, at);
                }
            } else if (lasts(change.status)) {
                incomplete_until_ = time_point::max();  // until it is read afresh
            }
            return;
        case feed_change::kind::account:
            if (!change.closed) {
                closed_.erase(change.subject);
            } else if (has_room(at)) {
                closed_[change.subject] = at;
                remember(change.what, change.subject, at);
            }
            return;
    }
}

void revoked_set::forget(const remembered& what) {
    switch (what.what) {
        case feed_change::kind::session:
            if (const auto found = sessions_.find(what.subject);
                found != sessions_.end() && found->second.at <= what.at) {
                sessions_.erase(found);
            }
            return;
        case feed_change::kind::tenant:
            if (const auto found = tenants_.find(what.subject); found != tenants_.end() &&
                                                                found->second.at <= what.at &&
                                                                !lasts(found->second.status)) {
                tenants_.erase(found);
            }
            return;
        case feed_change::kind::account:
            if (const auto found = closed_.find(what.subject);
                found != closed_.end() && found->second <= what.at) {
                closed_.erase(found);
            }
            return;
    }
}

void revoked_set::expire(time_point now) {
    while (!order_.empty() && order_.front().at + keep_ <= now) {
        forget(order_.front());
        order_.pop_front();
    }
}

verdict revoked_set::check(const token::claims& who) const noexcept {
    if (!sessions_.empty()) {
        const auto found = sessions_.find(who.session.value());
        if (found != sessions_.end() && who.session_version < found->second.version) {
            return verdict::over;
        }
    }
    if (!closed_.empty() && (closed_.contains(who.subject.value()) ||
                             (who.actor && closed_.contains(who.actor->value())))) {
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
