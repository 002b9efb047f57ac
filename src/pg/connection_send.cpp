// Encoding units for libpq: which messages a unit becomes, in which order.
#include "pg/detail/connection.hpp"
#include "pg/detail/sql_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace insula::pg::detail {
namespace {

// One statement for every unit, with or without a tenant: the third argument `true` makes each
// setting end with the unit's transaction. 'none' is the login role itself; it is needed where a
// unit without a scope follows one with a scope in the same transaction.
constexpr const char* preamble_sql =
    "select pg_catalog.set_config('role', $1, true), "
    "pg_catalog.set_config('lock_timeout', $2, true), "
    "pg_catalog.set_config('statement_timeout', $3, true)";
constexpr Oid text_oid = 25;
constexpr int binary = 1;

struct number_text {
    std::array<char, 24> text{};
    int length = 0;

    explicit number_text(std::int64_t value) {
        const auto end = std::to_chars(text.data(), text.data() + text.size() - 1, value).ptr;
        length = static_cast<int>(end - text.data());
    }
};

struct statement_name {
    std::array<char, 24> text{'s'};

    explicit statement_name(std::uint64_t number) {
        *std::to_chars(text.data() + 1, text.data() + text.size() - 1, number).ptr = '\0';
    }
    const char* c_str() const { return text.data(); }
};

// Milliseconds a statement may take: its own budget or what is left of the deadline; 0 is
// PostgreSQL's "no limit".
std::int64_t statement_budget(const request& what) {
    const std::int64_t own = what.options.statement_timeout.count();
    if (what.until.is_never()) {
        return own;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(what.until.remaining());
    const std::int64_t capped =
        std::clamp<std::int64_t>(left.count(), 1, std::numeric_limits<std::int32_t>::max());
    return own > 0 ? std::min(own, capped) : capped;
}

std::uint64_t hash_types(const std::vector<Oid>& types) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const Oid type : types) {
        hash = (hash ^ type) * 0x100000001b3ULL;
    }
    return hash;
}

}  // namespace

void connection::gather(const request& what, const unit::entry& entry) {
    values_.clear();
    lengths_.clear();
    types_.clear();
    const param_list& params = what.work.params();
    for (std::size_t i = entry.params_begin; i < entry.params_end; ++i) {
        const param_list::slot& slot = params[i];
        values_.push_back(slot.length < 0 ? nullptr : params.data(slot));
        lengths_.push_back(std::max(slot.length, 0));
        types_.push_back(slot.type);
    }
    formats_.resize(std::max(formats_.size(), values_.size()), binary);
}

bool connection::encode_command(const char* sql, sent_part::what kind) {
    parts_.push_back({kind});
    return PQsendQueryParams(conn_.get(), sql, 0, nullptr, nullptr, nullptr, nullptr, binary) == 1;
}

bool connection::encode_preamble(const request& what) {
    if (!preamble_prepared_) {
        const std::array<Oid, 3> types{text_oid, text_oid, text_oid};
        parts_.push_back({sent_part::what::prepare, -1, 0});
        if (PQsendPrepare(conn_.get(), preamble_name_.c_str(), preamble_sql, 3, types.data()) !=
            1) {
            return false;
        }
        preamble_prepared_ = true;
    }
    const number_text lock(std::max<std::int64_t>(what.options.lock_timeout.count(), 0));
    const number_text budget(statement_budget(what));
    const std::string_view role =
        what.work.scope() ? std::string_view(what.work.scope()->role) : std::string_view("none");
    const std::array<const char*, 3> values{role.data(), lock.text.data(), budget.text.data()};
    const std::array<int, 3> lengths{static_cast<int>(role.size()), lock.length, budget.length};
    const std::array<int, 3> formats{binary, binary, binary};
    parts_.push_back({sent_part::what::preamble, -1, preamble_number_});
    return PQsendQueryPrepared(conn_.get(), preamble_name_.c_str(), 3, values.data(),
                               lengths.data(), formats.data(), binary) == 1;
}

bool connection::encode_entry(request& what, const unit::entry& entry, std::int32_t index) {
    gather(what, entry);
    const int count = static_cast<int>(values_.size());
    const auto expanded = [&] {
        return entry.scoped ? expand_schema(entry.sql(), what.work.scope()->schema)
                            : std::string(entry.sql());
    };
    if (entry.once) {
        parts_.push_back({sent_part::what::execute, index});
        return PQsendQueryParams(conn_.get(), expanded().c_str(), count, types_.data(),
                                 values_.data(), lengths_.data(), formats_.data(), binary) == 1;
    }
    const statement_key key{entry.text.data(), entry.text.size(),
                            entry.scoped ? what.work.scope()->schema : uuid{}, hash_types(types_)};
    const auto use = cache_.use(key, entry.text.size(), what.trust_pending);
    what.used.push_back(use.number);
    const statement_name name(use.number);
    if (use.prepare) {
        // Behind the role switch of the same unit: Parse already needs the tenant's rights.
        parts_.push_back({sent_part::what::prepare, index, use.number});
        pool_counters::add(counters_->prepares);
        if (PQsendPrepare(conn_.get(), name.c_str(), expanded().c_str(), count, types_.data()) !=
            1) {
            return false;
        }
    }
    parts_.push_back({sent_part::what::execute, index, use.number});
    return PQsendQueryPrepared(conn_.get(), name.c_str(), count, values_.data(), lengths_.data(),
                               formats_.data(), binary) == 1;
}

bool connection::encode(request& what) {
    parts_.clear();
    if (!what.begin.empty() && !encode_command(what.begin.c_str(), sent_part::what::begin)) {
        return false;
    }
    if (what.preamble && !encode_preamble(what)) {
        return false;
    }
    std::int32_t index = 0;
    for (const unit::entry& entry : what.work.entries()) {
        if (!encode_entry(what, entry, index++)) {
            return false;
        }
    }
    if (what.commit && !encode_command("commit", sent_part::what::commit)) {
        return false;
    }
    // The unit's own Sync: it ends the implicit transaction, and an error before it stays before
    // it. It flushes, too.
    return PQpipelineSync(conn_.get()) == 1;
}

void connection::send(const request_ptr& what) {
    what->answers.reserve(what->work.size());
    if (!usable()) {
        what->error = pg_error{.state = sqlstate::connection_failure,
                               .message = "the connection is gone, nothing was sent"};
        what->finished = true;
        what->done.set();
        return;
    }
    if (in_flight_.empty()) {
        last_progress_ = home_.now();
    }
    const bool sent = encode(*what);
    router_.sent(parts_);
    in_flight_.push_back(what);
    if (what->why == request::purpose::caller) {
        ++units_;
        pool_counters::add(counters_->round_trips);
    } else {
        pool_counters::add(counters_->maintenance);
    }
    if (!sent) {
        // Half a unit without its Sync would be continued by the next one.
        condemn({.state = sqlstate::connection_failure, .message = message_of(conn_.get())});
        return;
    }
    flush();
    if (what->why == request::purpose::caller) {
        collect_garbage(16);
    }
}

void connection::flush() noexcept {
    const int left = PQflush(conn_.get());
    if (left < 0) {
        condemn({.state = sqlstate::connection_failure, .message = message_of(conn_.get())});
        return;
    }
    const bool more = left == 1;
    if (more && !want_write_ && watch_) {
        watch_->cancel();  // drive() waits again, for both directions
    }
    want_write_ = more;
}

void connection::collect_garbage(std::size_t at_least) {
    if (!usable() || cache_.garbage().size() < std::max<std::size_t>(at_least, 1)) {
        return;
    }
    unit work;
    auto numbers = cache_.take_garbage();
    for (const std::uint64_t number : numbers) {
        work.add_once(fmt::format("deallocate s{}", number));
    }
    auto what = std::make_shared<request>(home_, std::move(work), unit_options{},
                                          runtime::deadline::after(std::chrono::seconds(10)));
    what->why = request::purpose::maintenance;
    what->preamble = false;
    what->deallocates = std::move(numbers);
    send(what);
}

}  // namespace insula::pg::detail
