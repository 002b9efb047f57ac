#include "pg/detail/connection.hpp"

#include "pg/detail/retry.hpp"

#include "insula/observe/log.hpp"
#include "insula/runtime/post.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

namespace insula::pg::detail {

namespace {

/// Of another number for the same socket. libpq closes its own in the middle of any call when the
/// server has gone, and at once the number may be that of a client, whose registration would end
/// with ours. Without a number to spare, of libpq's own.
runtime::descriptor_watch watch_socket(runtime::loop& home, int socket) {
    struct number {
        explicit number(int fd) : value(fd) {}
        number(const number&) = delete;
        number& operator=(const number&) = delete;
        ~number() { ::close(value); }
        const int value;
    };
    const int own = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
        return {home, socket};
    }
    return {home, own, std::make_shared<number>(own)};
}

}  // namespace

namespace {

constexpr sqlstate read_only_transaction{"25006"};
constexpr std::chrono::milliseconds read_only_pause{300};

}  // namespace

void connection_owner::notified(std::string, std::string) {}

/// Lives in the frame of script().
struct connection::script_state {
    explicit script_state(runtime::loop& home) : done(home) {}
    std::optional<pg_error> error;
    runtime::event done;
};

connection::connection(runtime::loop& home, pgconn_ptr opened,
                       std::shared_ptr<pool_counters> counters, std::size_t statement_bytes_max,
                       budget_ticket ticket)
    : home_(home),
      ticket_(std::move(ticket)),
      conn_(std::move(opened)),
      counters_(std::move(counters)),
      cache_(statement_bytes_max) {
    watch_.emplace(watch_socket(home_, PQsocket(conn_.get())));
}

connection::~connection() {
    watch_.reset();
}

bool connection::idle() const noexcept {
    return in_flight() == 0 && transaction_status() == PQTRANS_IDLE;
}

PGTransactionStatusType connection::transaction_status() const noexcept {
    return PQtransactionStatus(conn_.get());
}

bool connection::stalled(clock::time_point now, clock::duration grace) const noexcept {
    if (in_flight_.empty() || in_flight_.front()->until.is_never()) {
        return false;
    }
    return in_flight_.front()->until.at + grace < now && last_progress_ + grace < now;
}

runtime::awaitable<void> connection::drive(std::shared_ptr<connection> self) {
    while (self->usable()) {
        const int interests = runtime::descriptor_watch::read |
                              (self->want_write_ ? runtime::descriptor_watch::write : 0);
        const auto ready = co_await self->watch_->wait(interests, runtime::deadline::never());
        if (!self->usable()) {
            break;
        }
        if (!ready) {
            if (ready.error() == boost::asio::error::operation_aborted) {
                continue;  // flush() wants to write, or somebody shuts down
            }
            self->condemn(
                {.state = sqlstate::connection_failure, .message = ready.error().message()});
            break;
        }
        // Read first: a server whose own buffers are full takes nothing until somebody reads.
        if ((*ready & runtime::descriptor_watch::read) != 0) {
            self->on_readable();
        }
        if (self->usable() && self->want_write_) {
            self->flush();
        }
    }
    self->fail_all({.state = sqlstate::connection_failure, .message = "connection shut down"});
    co_await self->watch_->release();
    self->watch_.reset();
    self->conn_.reset();
    self->ticket_.reset();
    if (const auto owner = self->owner_.lock()) {
        owner->connection_closed(*self);
    }
}

void connection::on_readable() {
    const bool alive = PQconsumeInput(conn_.get()) == 1;
    last_progress_ = clock::now();
    if (script_ != nullptr) {
        drain_script();
    } else {
        drain();
    }
    if (!usable()) {
        return;
    }
    take_notifications();
    if (!alive || PQstatus(conn_.get()) == CONNECTION_BAD) {
        condemn(fatal_.value_or(
            pg_error{.state = sqlstate::connection_failure, .message = message_of(conn_.get())}));
    }
}

void connection::drain() {
    while (router_.in_flight() != 0 && !broken_ && PQisBusy(conn_.get()) == 0) {
        take(pgresult_ptr(PQgetResult(conn_.get())));
    }
}

void connection::take(pgresult_ptr result) {
    using event = result_router::routed::what;
    const bool only_sync_missing = router_.only_sync_missing();
    const auto routed = router_.take(classify(result.get()));
    request& front = *in_flight_.front();
    switch (routed.event) {
        case event::nothing:
            return;
        case event::part_ok:
            if (routed.part.kind == sent_part::what::execute) {
                front.answers.emplace_back(result.release());
            } else if (routed.part.kind == sent_part::what::prepare && routed.part.prepared != 0) {
                cache_.acknowledged(routed.part.prepared);
            } else if (routed.part.kind == sent_part::what::commit) {
                // COMMIT of a transaction that had failed succeeds, by rolling back.
                front.rolled_back = std::strcmp(PQcmdStatus(result.get()), "ROLLBACK") == 0;
            }
            return;
        case event::part_failed:
        case event::failed_at_end:
            if (ends_session(result.get())) {
                fatal_ = error_of(result.get());
                fatal_before_commit_ = !only_sync_missing;
            }
            fail_part(routed.part, result.get());
            return;
        case event::part_aborted:
            if (routed.part.kind == sent_part::what::prepare && routed.part.prepared != 0) {
                cache_.refused(routed.part.prepared);
            } else if (!front.deallocates.empty()) {
                cache_.return_garbage(
                    front.deallocates[static_cast<std::size_t>(routed.part.statement)]);
            }
            return;
        case event::unit_done:
            finish_front();
            return;
        case event::broken:
            condemn(fatal_.value_or(
                pg_error{.state = sqlstate::connection_failure,
                         .message = PQstatus(conn_.get()) == CONNECTION_BAD
                                        ? message_of(conn_.get())
                                        : "results that answer nothing that was sent"}));
            return;
    }
}

void connection::fail_part(const sent_part& part, const PGresult* result) {
    request& front = *in_flight_.front();
    front.error = error_of(result);
    const bool at_end =
        part.kind != sent_part::what::execute && part.kind != sent_part::what::prepare;
    front.error->statement = at_end ? -1 : part.statement;
    const bool unknown = front.error->state == sqlstate::unknown_prepared;
    if (part.kind == sent_part::what::preamble) {
        if (unknown && part.prepared == preamble_number_) {
            // Somebody's SQL said DEALLOCATE ALL; the unit will be repeated, under a new name.
            preamble_name_ = "preamble" + std::to_string(++preamble_number_);
            preamble_prepared_ = false;
        }
    } else if (part.prepared != 0 && (part.kind == sent_part::what::prepare || unknown)) {
        cache_.refused(part.prepared);
    }
}

void connection::finish_front() {
    const request_ptr front = std::move(in_flight_.front());
    in_flight_.pop_front();
    if (front->error) {
        front->answers.clear();
        // What was opened while the database was read-only stays so; so it is as good as old, and
        // another takes its place soon. Not more often, for as long as that lasts.
        if (front->error->state == read_only_transaction &&
            since_ + read_only_pause < clock::now()) {
            since_ = {};
        }
        if (decide(*front->error, {}) == verdict::repeat) {
            forget_statements(*front);
        }
    }
    front->finished = true;
    front->done.set();
    if (const auto owner = owner_.lock()) {
        owner->unit_finished(*this);
    }
}

void connection::take_notifications() {
    while (PGnotify* notify = PQnotifies(conn_.get())) {
        const std::unique_ptr<PGnotify, void (*)(void*)> keep(notify, &PQfreemem);
        if (const auto owner = owner_.lock()) {
            owner->notified(notify->relname, notify->extra);
        }
    }
}

void connection::forget_statements(const request& of) {
    for (const std::uint64_t number : of.used) {
        cache_.forget(number);
    }
}

void connection::condemn(pg_error why) noexcept {
    if (broken_) {
        return;
    }
    broken_ = true;
    pool_counters::add(counters_->lost);
    observe::warn("pg.connection_lost",
                  {{"state", why.state.str()}, {"reason", why.message}, {"units", in_flight()}});
    fail_all(why);
    if (watch_) {
        watch_->cancel();
    }
    // Later: this may be inside a send() of the owner's own.
    runtime::post(home_, [owner = owner_, self = shared_from_this()] {
        if (const auto o = owner.lock()) {
            o->connection_broken(*self);
        }
    });
}

void connection::shut_down() noexcept {
    closing_ = true;
    if (watch_) {
        watch_->cancel();
    }
}

// A unit's results come before its commit, so when the server said farewell in the middle of a
// unit, neither that unit nor any behind it has committed. Without a farewell every unit whose Sync
// or COMMIT was sent may have.
void connection::fail_all(const pg_error& why) noexcept {
    const bool known = fatal_ && fatal_before_commit_;
    for (const request_ptr& r : in_flight_) {
        r->answers.clear();
        r->error = why;
        r->error->maybe_committed = !known && r->why == request::purpose::caller && r->commits;
        if (r->error->maybe_committed) {
            r->error->backend = backend_;
        }
        r->error->statement = -1;
        r->finished = true;
        r->done.set();
    }
    in_flight_.clear();
    router_.clear();
    if (script_ != nullptr) {
        script_->error = why;
        script_->done.set();
        script_ = nullptr;
    }
}

runtime::awaitable<pg_result<>> connection::script(const std::string& sql, runtime::deadline until,
                                                   request::purpose why) {
    if (!usable() || in_flight() != 0 || PQexitPipelineMode(conn_.get()) != 1) {
        co_return pg_error{.state = sqlstate::connection_failure,
                           .message = "a script needs a connection without units in flight"};
    }
    script_state mine(home_);
    const auto self = shared_from_this();
    script_ = &mine;
    // The frame may be destroyed at the wait below (the loop has stopped): nobody may write into it
    // then.
    const struct detach {
        connection& from;
        const script_state* what;
        ~detach() {
            if (from.script_ == what) {
                from.script_ = nullptr;
            }
        }
    } guard{*this, &mine};
    pool_counters::add(why == request::purpose::caller ? counters_->round_trips
                                                       : counters_->maintenance);
    if (PQsendQuery(conn_.get(), sql.c_str()) != 1) {
        condemn({.state = sqlstate::connection_failure, .message = message_of(conn_.get())});
    } else {
        flush();
    }
    const bool in_time = co_await mine.done.wait(until);
    if (!in_time && script_ == &mine) {
        script_ = nullptr;
        condemn({.state = sqlstate::query_canceled, .message = "a script outlived its deadline"});
        co_return pg_error{.state = sqlstate::query_canceled,
                           .message = "the deadline passed; the connection was closed"};
    }
    if (mine.error) {
        co_return std::move(*mine.error);
    }
    co_return pg_result<>();
}

void connection::drain_script() {
    while (script_ != nullptr && PQisBusy(conn_.get()) == 0) {
        const pgresult_ptr result(PQgetResult(conn_.get()));
        if (!result) {
            script_state& over = *std::exchange(script_, nullptr);
            if (PQenterPipelineMode(conn_.get()) != 1) {
                condemn(
                    {.state = sqlstate::connection_failure, .message = message_of(conn_.get())});
            }
            over.done.set();
            return;
        }
        const reply answer = classify(result.get());
        if (answer == reply::error) {
            if (!script_->error) {
                script_->error = error_of(result.get());
            }
            if (ends_session(result.get())) {
                fatal_ = script_->error;
            }
        } else if (answer != reply::ok) {
            condemn({.state = sqlstate::feature_not_supported, .message = "COPY in a script"});
        }
    }
}

}  // namespace insula::pg::detail
