#include "queue/step_transaction.hpp"

#include "queue/statements.hpp"

#include <iterator>
#include <stdexcept>
#include <utility>

namespace insula::queue {

namespace detail {

claimed_run read_claim(const pg::row& r, std::int64_t token, std::uint64_t epoch) {
    // By number, in the order of queue.claim: names are looked up anew in each row.
    claimed_run run;
    run.id = run_id(r.get<uuid>(0));
    run.tenant = r.get<std::optional<tenant_id>>(1);
    run.kind = r.get<std::string>(2);
    run.version = r.get<std::int32_t>(3);
    run.direction = r.get<std::int16_t>(4);
    run.step = r.get<std::int32_t>(5);
    run.attempt = r.get<std::int32_t>(6);
    run.crashes = r.get<std::int32_t>(7);
    run.attempts_max = r.get<std::int32_t>(8);
    run.overdue = r.get<bool>(9);
    run.cancel_requested = r.get<bool>(10);
    run.begun = r.get<bool>(12);
    run.input = r.get<std::string>(11);
    run.error_code = r.get<std::optional<std::string>>(13).value_or("");
    run.error_detail = r.get<std::optional<std::string>>(14).value_or("");
    run.error_internal = r.get<std::optional<std::string>>(15).value_or("");
    run.waited = std::chrono::microseconds(r.get<std::int64_t>(19));
    run.keyed = r.get<bool>(16);
    run.token = token;
    run.epoch = epoch;
    return run;
}

const step_row* find_row(const std::vector<step_row>& rows, int direction, int seq) noexcept {
    for (const step_row& r : rows) {
        if (r.direction == direction && r.seq == seq) {
            return &r;
        }
    }
    return nullptr;
}

pg::unit step_transaction::take_pending() {
    for (const pg::unit::entry& e : pending_.entries()) {
        enqueues_ = enqueues_ || e.text.data() == sql::enqueue.text.data() ||
                    e.text.data() == sql::enqueue_batch.text.data();
    }
    sent_any_ = true;
    sent_ = std::exchange(marks_, {{0, marks_.back().whose}});
    return std::exchange(pending_, {});
}

void step_transaction::replace(pg::unit whole) {
    pending_ = std::move(whole);
    options_.lock_timeout = std::chrono::milliseconds(-1);
    alone_ = true;
}

void step_transaction::belongs_to(std::size_t whose) {
    if (marks_.back().from == pending_.size()) {
        marks_.back().whose = whose;
    } else {
        marks_.push_back({pending_.size(), whose});
    }
}

void step_transaction::note_error(const pg::pg_error& error) {
    if (failed_) {
        return;
    }
    failed_ = error;
    blamed_ = sent_.back().whose;
    if (error.statement >= 0) {
        for (const mark& m : sent_) {
            if (m.from <= static_cast<std::size_t>(error.statement)) {
                blamed_ = m.whose;
            }
        }
    }
}

runtime::awaitable<pg::pg_result<pg::results>> step_transaction::exec(pg::unit work) {
    const std::size_t hidden = pending_.size();
    pending_.append(work);
    pg::unit all = take_pending();
    auto got = co_await connection_.exec(std::move(all), options_);
    if (!got) {
        pg::pg_error error = got.error();
        note_error(error);
        // The step counts its own statements; what failed before them is nobody's.
        const int own = error.statement - static_cast<int>(hidden);
        error.statement = own < 0 ? -1 : own;
        co_return error;
    }
    pg::results own(std::make_move_iterator(got->begin() + static_cast<std::ptrdiff_t>(hidden)),
                    std::make_move_iterator(got->end()));
    co_return own;
}

runtime::awaitable<pg::pg_result<pg::lease*>> step_transaction::flush() {
    if (!pending_.empty()) {
        auto got = co_await connection_.exec(take_pending(), options_);
        if (!got) {
            note_error(got.error());
            co_return got.error();
        }
    }
    co_return &connection_;
}

runtime::awaitable<pg::pg_result<>> step_transaction::commit() {
    if (alone_) {
        // Its own transaction, committed by its Sync: BEGIN and COMMIT would be parsed and run
        // for nothing. Nothing was sent, so this only forgets the BEGIN that waits.
        (void)co_await connection_.rollback();
    }
    auto got = alone_ ? co_await connection_.exec(take_pending(), options_)
                      : co_await connection_.exec_and_commit(take_pending(), options_);
    if (!got) {
        note_error(got.error());
        co_return got.error();
    }
    co_return pg::pg_result<>();
}

}  // namespace detail

run_id step_base::run() const noexcept {
    return view_.run->id;
}
const std::optional<tenant_id>& step_base::tenant() const noexcept {
    return view_.run->tenant;
}
std::string_view step_base::name() const noexcept {
    return view_.name;
}
int step_base::attempt() const noexcept {
    return view_.attempt;
}

std::optional<std::string_view> step_base::result_of(std::string_view step) const {
    std::optional<std::string_view> found;
    for (const detail::step_row& r : *view_.rows) {
        if (r.name != step || !r.result) {
            continue;
        }
        const bool own_batches = r.direction == view_.run->direction && r.name == view_.name;
        if (own_batches || (r.direction == 1 && !found)) {
            found = *r.result;
        }
    }
    return found;
}

void step_base::set_result(std::string json) {
    if (json.size() > 65'536) {
        throw std::length_error("the result of a step is at most 64 KiB");
    }
    view_.result = std::move(json);
}

runtime::awaitable<pg::pg_result<pg::results>> database_step::exec(pg::unit work) {
    return transaction_.exec(std::move(work));
}
void database_step::again() {
    if (!view_.may_repeat) {
        throw std::logic_error("again() is for a step that has its transaction for itself");
    }
    view_.again = true;
}
pg::unit& database_step::deferred() noexcept {
    return transaction_.pending();
}
runtime::awaitable<pg::pg_result<pg::lease*>> database_step::lease() {
    return transaction_.flush();
}

}  // namespace insula::queue
