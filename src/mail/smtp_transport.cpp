#include "insula/mail/smtp_transport.hpp"

#include "smtp_session.hpp"

#include "insula/observe/log.hpp"
#include "insula/runtime/post.hpp"

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <thread>

namespace insula::mail {
namespace {

using runtime::deadline;
using runtime::steady_clock;

// libcurl notices the deadline itself; this is how much later the caller stops waiting for it.
constexpr std::chrono::seconds slack{2};
constexpr std::chrono::minutes longest{10};
constexpr std::size_t line_bytes_max = 998;  // RFC 5322 section 2.1.1

std::int64_t as_number(steady_clock::time_point at) {
    return at.time_since_epoch() / std::chrono::nanoseconds(1);
}

bool lines_fit(std::string_view text) {
    while (!text.empty()) {
        const auto end = std::min(text.find("\r\n"), text.size());
        if (end > line_bytes_max) {
            return false;
        }
        text.remove_prefix(std::min(end + 2, text.size()));
    }
    return true;
}

bool is_ascii(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

smtp_envelope envelope_of(const message& mail) {
    smtp_envelope envelope{bare_address(mail.from.address), bare_address(mail.to.address), false};
    envelope.needs_utf8 = !is_ascii(envelope.from) || !is_ascii(envelope.to);
    return envelope;
}

struct job {
    std::uint64_t number = 0;
    smtp_envelope envelope;
    std::string text;
    deadline until;
    runtime::one_shot_promise<delivery> promise;
};

}  // namespace

/// The threads and what waits for them.
struct smtp_transport::line {
    line(smtp_server to, smtp_options with) : server(std::move(to)), options(with) {
        for (unsigned i = 0; i < std::max(1U, options.deliveries_max); ++i) {
            threads.emplace_back([this] { work(); });
        }
    }
    ~line() {
        end(steady_clock::now());
        {
            const std::lock_guard lock(mutex);
            stopping = true;
        }
        wake.notify_all();
        for (auto& thread : threads) {
            thread.join();
        }
    }

    /// The reason when it must not even wait.
    std::optional<delivery> add(job one) {
        const std::lock_guard lock(mutex);
        if (closed) {
            return delivery::not_tried("this process is shutting down");
        }
        if (!under_way.empty() && in_trouble()) {
            return delivery::not_tried(
                "the mail server is in trouble; one mail at a time tries it");
        }
        if (waiting.size() >= options.waiting_max) {
            return delivery::not_tried("too many mails are waiting for the server");
        }
        waiting.push_back(std::move(one));
        wake.notify_one();
        return std::nullopt;
    }

    /// True when it had not begun; it never will.
    bool withdraw(std::uint64_t number) {
        const std::lock_guard lock(mutex);
        return std::erase_if(waiting, [&](const job& one) { return one.number == number; }) > 0;
    }

    void end(steady_clock::time_point last) {
        const std::lock_guard lock(mutex);
        closed = true;
        give_up_at = std::min(give_up_at.load(), as_number(last));
        defer_waiting("this process is shutting down");
    }

    const smtp_server server;
    const smtp_options options;
    std::atomic<std::uint64_t> numbers{0};

private:
    // The rest under `mutex`.
    [[nodiscard]] bool in_trouble() const {
        const auto oldest =
            std::ranges::min_element(under_way, {}, [](const auto& entry) { return entry.second; });
        return trouble || (oldest != under_way.end() &&
                           steady_clock::now() - oldest->second > options.patience);
    }

    void defer_waiting(const char* why) {
        for (auto& one : waiting) {
            one.promise.set(delivery::not_tried(why));
        }
        waiting.clear();
    }

    void work() {
        // Signals are for the loops; a SIGPIPE of the TLS library stays here, unseen.
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
        smtp_session session(server, options.connect_limit, give_up_at);
        std::unique_lock lock(mutex);
        for (;;) {
            wake.wait(lock, [&] {
                return stopping || (!waiting.empty() && (under_way.empty() || !in_trouble()));
            });
            if (stopping) {
                return;
            }
            auto one = std::move(waiting.front());
            waiting.pop_front();
            under_way.emplace(one.number, steady_clock::now());
            lock.unlock();
            auto attempt = carry(session, one);
            lock.lock();
            under_way.erase(one.number);
            trouble = attempt.server_in_trouble;
            if (trouble) {
                defer_waiting("the mail server is in trouble; another mail has just found out");
            }
            wake.notify_all();
            one.promise.set(std::move(attempt.result));
        }
    }

    static smtp_attempt carry(smtp_session& session, const job& one) {
        try {
            return session.send(one.envelope, one.text, one.until);
        } catch (const std::exception& e) {
            return {{delivery::outcome::deferred, e.what(), true}, true};
        }
    }

    std::atomic<std::int64_t> give_up_at{std::numeric_limits<std::int64_t>::max()};
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<job> waiting;
    std::map<std::uint64_t, steady_clock::time_point> under_way;  // since when
    bool trouble = false;  // the last delivery that ended said so
    bool closed = false;
    bool stopping = false;
    std::vector<std::thread> threads;
};

smtp_transport::smtp_transport(smtp_server server, smtp_options options, observe::metrics& counts)
    : transport(counts) {
    observe::info("mail goes to a server", {{"server", server.describe()}});
    line_ = std::make_unique<line>(std::move(server), options);
}

smtp_transport::~smtp_transport() = default;

void smtp_transport::close(deadline last) {
    line_->end(last.at);
}

runtime::awaitable<delivery> smtp_transport::deliver(message mail, deadline until) {
    if (mail.key.empty() || mail.to.address.empty() || mail.from.address.empty()) {
        co_return delivery::rejected("a message without key, sender or receiver");
    }
    until = until.sooner(deadline::after(longest));
    auto shot = runtime::make_one_shot<delivery>();
    const auto number = line_->numbers.fetch_add(1);
    job one{number, envelope_of(mail), to_text(mail), until, std::move(shot.promise)};
    if (!lines_fit(one.text)) {
        co_return delivery::rejected("a line of more than 998 bytes, which no server must take");
    }
    if (auto refused = line_->add(std::move(one))) {
        co_return std::move(*refused);
    }
    const auto turn = until.sooner(deadline::after(line_->options.patience));
    if (!co_await shot.future.wait(turn) && line_->withdraw(number)) {
        co_return delivery::not_tried("too many mails are on their way");
    }
    // False as well when this coroutine is cancelled: then its caller is told by its next wait.
    if (!co_await shot.future.wait({until.at + slack})) {
        co_return delivery::deferred("the delivery did not come back in time");
    }
    co_return co_await shot.future.get();
}

delivery check_smtp_server(const smtp_server& server, const mailbox& from,
                           std::chrono::milliseconds limit) {
    const std::atomic<std::int64_t> never{std::numeric_limits<std::int64_t>::max()};
    smtp_session session(server, limit, never);
    return session.check(std::string(from.address.domain()), deadline::after(limit)).result;
}

}  // namespace insula::mail
