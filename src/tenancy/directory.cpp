#include "insula/tenancy/directory.hpp"

#include <mutex>

namespace insula::tenancy {
namespace {

constexpr pg::statement load_all{"tenancy.load",
                                 "select id, cell, slug from control.tenant"
                                 " where status not in ('failed', 'gone')"
                                 " order by created_at desc limit $1"};
constexpr pg::statement find_one{
    "tenancy.find", "select cell, slug from control.tenant where id = $1 and status <> 'gone'"};

}  // namespace

runtime::awaitable<pg::pg_result<std::size_t>> directory::load(runtime::deadline until) {
    pg::unit work;
    work.add(load_all, static_cast<std::int64_t>(entries_max));
    auto answer = co_await control_.run(std::move(work), until);
    if (!answer) {
        co_return answer.error();
    }
    for (const auto row : answer->front()) {
        remember({row.get<tenant_id>(0), row.get<std::int32_t>(1), row.get<std::string>(2)});
    }
    co_return size();
}

runtime::awaitable<pg::pg_result<std::shared_ptr<const tenant_entry>>> directory::find(
    tenant_id tenant, runtime::deadline until) {
    if (auto entry = known(tenant)) {
        co_return entry;
    }
    pg::unit work;
    work.add(find_one, tenant);
    auto answer = co_await control_.run(std::move(work), until);
    if (!answer) {
        co_return answer.error();
    }
    if (answer->front().empty()) {
        co_return std::shared_ptr<const tenant_entry>();
    }
    const auto row = answer->front().front();
    const tenant_entry found{tenant, row.get<std::int32_t>(0), row.get<std::string>(1)};
    remember(found);
    auto entry = known(tenant);
    // In a full directory somebody else may have taken the place meanwhile.
    co_return entry ? std::move(entry) : std::make_shared<const tenant_entry>(found);
}

std::shared_ptr<const tenant_entry> directory::known(tenant_id tenant) const {
    const std::shared_lock lock(guard_);
    const auto found = entries_.find(tenant);
    return found == entries_.end() ? nullptr : found->second;
}

void directory::remember(tenant_entry entry) {
    auto shared = std::make_shared<const tenant_entry>(std::move(entry));
    const std::unique_lock lock(guard_);
    if (entries_.size() >= entries_max && !entries_.contains(shared->id)) {
        entries_.erase(entries_.begin());  // any one: it is found again when it is asked for
    }
    entries_[shared->id] = std::move(shared);
}

void directory::forget(tenant_id tenant) {
    const std::unique_lock lock(guard_);
    entries_.erase(tenant);
}

std::size_t directory::size() const {
    const std::shared_lock lock(guard_);
    return entries_.size();
}

}  // namespace insula::tenancy
