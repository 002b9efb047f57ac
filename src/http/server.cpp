#include "insula/http/server.hpp"

#include "http/session.hpp"

#include "insula/observe/log.hpp"
#include "insula/runtime/listener.hpp"
#include "insula/runtime/post.hpp"
#include "insula/runtime/task_group.hpp"

#include <boost/assert.hpp>

namespace insula::http {
namespace {

/// Connections beyond the limit that are being told so at one time; further ones are closed
/// unanswered.
constexpr std::size_t turned_away_max = 64;

/// The part of a server that lives on one loop; made, used and destroyed there.
class worker {
public:
    worker(shared_state& shared, runtime::loop& home, runtime::listener listener)
        : shared_(shared),
          sessions_(home),
          listener_(std::move(listener)),
          accepting_(home, "http accept"),
          connections_(home, "http connections") {}

    void start() { accepting_.spawn(accept_all(), "http accept loop"); }
    runtime::loop& home() const noexcept { return connections_.home(); }
    std::string local() const { return listener_.local().str(); }

    /// No new connections; idle ones end now, busy ones after their response.
    void begin_stop() {
        stopping_ = true;
        listener_.close();
        for (auto& s : sessions_.all)
            s.stop();
    }
    runtime::awaitable<bool> finish(runtime::deadline until) {
        constexpr std::chrono::seconds cancelled_end(5);
        co_await accepting_.join(runtime::deadline::after(cancelled_end));
        const bool by_itself = co_await connections_.join(until);
        if (!by_itself) {
            connections_.stop();
            co_await connections_.join(runtime::deadline::after(cancelled_end));
        }
        co_return by_itself;
    }

private:
    runtime::awaitable<void> accept_all() {
        while (!stopping_) {
            auto accepted = co_await listener_.accept();
            if (!accepted)
                co_return;
            take(std::move(*accepted));
        }
    }

    void take(runtime::stream stream) {
        auto& record = shared_.record;
        record.accepted().add();
        if (auto one =
                place::take(record.now()->connections, shared_.options.limits.connections_max)) {
            connections_.spawn(serve(std::move(stream), std::move(*one)), "http connection");
            return;
        }
        if (auto one = sessions_.make_room()) {
            connections_.spawn(serve(std::move(stream), std::move(*one)), "http connection");
            return;
        }
        record.connections_refused().add();
        if (auto one = place::take(turned_away_, turned_away_max)) {
            connections_.spawn(turn_away(std::move(stream), std::move(*one)),
                               "http connection beyond the limit");
        }
    }

    runtime::awaitable<void> serve(runtime::stream stream, place mine) {
        session s(shared_, std::move(stream), std::move(mine), sessions_);
        co_await s.run();
    }

    runtime::awaitable<void> turn_away(runtime::stream stream, place) {
        session s(shared_, std::move(stream));
        co_await s.turn_away();
    }

    shared_state& shared_;
    crowd sessions_;
    runtime::listener listener_;
    std::atomic<std::size_t> turned_away_{0};
    bool stopping_ = false;
    runtime::task_group accepting_;
    runtime::task_group connections_;
};

}  // namespace

struct server::impl {
    impl(service& s, server_options o, observe::metrics& m, rate_limiter* l)
        : shared(s, std::move(o), m, l) {}

    /// Runs on the worker's own loop.
    runtime::awaitable<result<std::unique_ptr<worker>>> open(runtime::loop* home, std::string where,
                                                             bool reuse_port) {
        runtime::listen_options options;
        options.reuse_port = reuse_port;
        auto bound = runtime::listener::bind(*home, where, options);
        if (!bound)
            co_return bound.error();
        co_return std::make_unique<worker>(shared, *home, std::move(*bound));
    }
    runtime::awaitable<void> drop(std::unique_ptr<worker> w) {
        w->begin_stop();
        co_await w->finish(runtime::deadline::after(std::chrono::seconds(1)));
    }
    runtime::awaitable<void> accept(worker* w) {
        w->start();
        co_return;
    }
    runtime::awaitable<void> begin_stop(worker* w) {
        w->begin_stop();
        co_return;
    }
    runtime::awaitable<bool> finish(std::unique_ptr<worker> w, runtime::deadline until) {
        const bool by_itself = co_await w->finish(until);
        w.reset();
        co_return by_itself;
    }

    shared_state shared;
    std::vector<std::unique_ptr<worker>> workers;
    std::string local;
};

server::server(service& s, server_options options, observe::metrics& m, rate_limiter* limiter)
    : impl_(std::make_unique<impl>(s, std::move(options), m, limiter)) {}

server::~server() = default;

runtime::awaitable<result<>> server::start(std::vector<runtime::loop*> loops) {
    auto& self = *impl_;
    std::string where = self.shared.options.listen;
    const bool one_only = where.starts_with("unix:");
    if (one_only)
        loops.resize(1);
    for (auto* home : loops) {
        auto made = co_await runtime::run_on(*home, [&self, home, where, &loops] {
            return self.open(home, where, loops.size() > 1);
        });
        if (!made) {
            for (auto& w : self.workers) {
                auto& target = w->home();
                co_await runtime::run_on(target, [&self, &w] { return self.drop(std::move(w)); });
            }
            self.workers.clear();
            co_return made.error();
        }
        // Port 0: what the first was given is everybody's.
        where = (*made)->local();
        self.workers.push_back(std::move(*made));
    }
    self.local = where;
    for (auto& w : self.workers) {
        co_await runtime::run_on(w->home(), [&self, &w] { return self.accept(w.get()); });
    }
    observe::info("http server listening",
                  {{"server", self.shared.options.name}, {"address", self.local}});
    co_return result<>();
}

void server::drain() noexcept {
    impl_->shared.draining.store(true);
}
bool server::draining() const noexcept {
    return impl_->shared.draining.load();
}

runtime::awaitable<bool> server::stop(runtime::deadline d) {
    auto& self = *impl_;
    drain();
    for (auto& w : self.workers) {
        co_await runtime::run_on(w->home(), [&self, &w] { return self.begin_stop(w.get()); });
    }
    bool by_itself = true;
    for (auto& w : self.workers) {
        auto& home = w->home();
        const bool clean =
            co_await runtime::run_on(home, [&self, &w, d] { return self.finish(std::move(w), d); });
        by_itself = by_itself && clean;
    }
    self.workers.clear();
    co_return by_itself;
}

const std::string& server::local() const noexcept {
    return impl_->local;
}
std::size_t server::connections() const noexcept {
    return impl_->shared.record.now()->connections.load(std::memory_order_relaxed);
}
std::size_t server::in_flight() const noexcept {
    return impl_->shared.record.now()->in_flight.load(std::memory_order_relaxed);
}

}  // namespace insula::http
