#include "feed.hpp"

#include <charconv>

namespace insula::tenancy {
namespace {

constexpr std::int64_t page_batches = 256;
constexpr std::int64_t page_changes = 20'000;

constexpr pg::statement where_to_begin{
    "feed.begin",
    "select coalesce((select min(b.number) - 1 from control.feed_batch b"
    " where b.numbered_at > now() - $1::bigint * interval '1 millisecond'), c.last)"
    " from control.feed_counter c"};
constexpr pg::statement lasting_tenants{
    "feed.tenants",
    "select id, status from control.tenant"
    " where status in ('suspended', 'pending_deletion', 'deleting') limit $1"};
// One snapshot: what the counter says is there is there. The first batch comes whatever its size.
constexpr pg::statement read_page{
    "feed.next",
    "select c.last, b.number, b.changes, b.age, f.kind, f.subject, f.value, clock_timestamp()"
    " from control.feed_counter c left join lateral"
    "  (select w.* from"
    "    (select n.*, row_number() over (order by n.number) as place,"
    "      sum(n.changes) over (order by n.number) as total from"
    "      (select o.number, o.changes, o.xact, o.began_at,"
    "        (extract(epoch from clock_timestamp() - o.numbered_at) * 1000)::bigint as age"
    "        from control.feed_batch o where o.number > $1 order by o.number limit $2) n) w"
    "    where w.place = 1 or w.total <= $3) b on true"
    " left join control.feed_change f"
    "  on f.xact = b.xact and f.began_at = b.began_at and b.changes <= $4"
    " order by b.number"};

std::optional<std::int64_t> parse_version(const std::optional<std::string_view>& text) {
    std::int64_t version = 0;
    if (!text ||
        std::from_chars(text->data(), text->data() + text->size(), version).ec != std::errc()) {
        return std::nullopt;
    }
    return version;
}

void take(feed_page& page, const pg::row& row, std::chrono::milliseconds age) {
    const auto kind = row.get<std::string_view>(4);
    if (kind == "key") {
        page.keys = true;
        return;
    }
    feed_change change;
    change.subject = row.get<uuid>(5);
    const auto value = row.get<std::optional<std::string_view>>(6);
    if (kind == "session") {
        change.version = parse_version(value);
    } else if (kind == "tenant") {
        change.what = feed_change::kind::tenant;
        change.status = parse_tenant_status(value.value_or(""));
    } else {
        change.what = feed_change::kind::account;
        change.closed = value != "open";
    }
    page.changes.push_back({change, age});
}

}  // namespace

runtime::awaitable<pg::pg_result<std::vector<feed_change>>> feed_reader::begin(
    std::chrono::milliseconds keep, runtime::deadline until) {
    pg::unit work;
    work.add(where_to_begin, static_cast<std::int64_t>(keep.count()));
    // Read after the number, so that nothing falls between the two.
    work.add(lasting_tenants, changes_max_ + 1);
    auto answer = co_await on_.exec(std::move(work), {}, until);
    if (!answer) {
        co_return answer.error();
    }
    last_ = answer->at(0).scalar<std::int64_t>();
    std::vector<feed_change> tenants;
    for (const auto row : answer->at(1)) {
        tenants.push_back({.what = feed_change::kind::tenant,
                           .subject = row.get<uuid>(0),
                           .version = {},
                           .status = parse_tenant_status(row.get<std::string_view>(1))});
    }
    co_return tenants;
}

runtime::awaitable<pg::pg_result<feed_page>> feed_reader::next(runtime::deadline until) {
    pg::unit work;
    work.add(read_page, last_, page_batches, page_changes, changes_max_);
    auto answer = co_await on_.exec(std::move(work), {}, until);
    if (!answer) {
        co_return answer.error();
    }
    feed_page page;
    std::int64_t end = last_;
    std::int64_t there = last_;
    for (const auto row : answer->front()) {
        there = row.get<std::int64_t>(0);
        clock_ = row.get<timestamp>(7);
        const auto number = row.get<std::optional<std::int64_t>>(1);
        if (!number) {
            break;
        }
        const auto age = std::chrono::milliseconds(row.get<std::int64_t>(3));
        if (*number != end) {
            page.gap = page.gap || *number != end + 1;
            end = *number;
            if (row.get<std::int32_t>(2) > changes_max_) {
                page.too_large.push_back(age);
            }
        }
        if (!row.is_null(4)) {
            take(page, row, age);
        }
    }
    page.more = end < there;
    page.gap = page.gap || there < last_ || (page.more && end == last_);
    last_ = end;
    co_return page;
}

}  // namespace insula::tenancy
