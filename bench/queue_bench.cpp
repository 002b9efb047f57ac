// What the engine makes of a database with the queue's tables; started by bench/sections/queue.py,
// which
// runs the same rows' raw SQL by pgbench in between. One measurement for each call, printed as one
// line of JSON:
//
//   queue_bench WHAT --worker CONNINFO --app CONNINFO [--count N] [--clients N] [--workers N]
//       [--seconds S] [--lease-ms N] [--filled yes] [--runtime auto|io_uring|epoll]
//
// WHAT: enqueue, enqueue_batch, calls (one outside step, ended in batches), singles (one database
// step, a commit each), steps (20 database steps each), three (3 database steps), joined (3 in one
// transaction), provision and provision_joined (schema, two tables, rights: a transaction each,
// one), pickup (idle), pickup_loaded; hang (a process to be killed) and rescue (who takes over).
// With --filled the runs are there already; otherwise --count of them are enqueued first.

#include "insula/observe/log.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/pg/pool.hpp"
#include "insula/queue/engine.hpp"
#include "insula/queue/enqueue.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/post.hpp"
#include "insula/runtime/timer.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/describe.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <future>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace insula::queue {

struct bench_input {
    int number = 0;
};
BOOST_DESCRIBE_STRUCT(bench_input, (), (number))

namespace {

using clock = std::chrono::steady_clock;
using outcome = runtime::awaitable<step_result<>>;
std::atomic<clock::rep> begun{0};  // of the last marked run's first line
bool hangs = false;                // what is called never returns

class call {
public:
    static constexpr std::string_view kind = "bench.call";
    using input = bench_input;
    outcome go(outside_step&, const input& in) const {
        if (in.number != 0) {
            begun = clock::now().time_since_epoch().count();
        }
        if (hangs) {
            co_await runtime::sleep_for(std::chrono::hours(1));
        }
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<call>({{.name = "go", .call = &call::go}});
    }
};

/// Database steps without effects: what is left is the price of durability.
template <int N, bool Joined = false>
class chain {
public:
    static constexpr std::string_view kind = N == 1   ? "bench.single"
                                             : N == 3 ? (Joined ? "bench.joined" : "bench.three")
                                                      : "bench.steps";
    using input = bench_input;
    outcome go(database_step&, const input&) const { co_return step_result<>(); }
    static constexpr auto steps() {
        constexpr std::array names{"s01", "s02", "s03", "s04", "s05", "s06", "s07",
                                   "s08", "s09", "s10", "s11", "s12", "s13", "s14",
                                   "s15", "s16", "s17", "s18", "s19", "s20"};
        std::array<queue::step<chain>, static_cast<std::size_t>(N)> all{};
        for (std::size_t i = 0; i < all.size(); ++i) {
            all[i].name = names[i];
            all[i].run = &chain::go;
            all[i].joins_previous = Joined && i > 0;
        }
        return all;
    }
};

/// Provisioning without anything but its DDL, a schema for each run.
template <bool Joined>
class provision {
public:
    static constexpr std::string_view kind = Joined ? "bench.provision_joined" : "bench.provision";
    using input = bench_input;
    outcome schema(database_step& s, const input&) const {
        co_return co_await send(s, {"create schema {}"});
    }
    outcome tables(database_step& s, const input&) const {
        co_return co_await send(s, {"create table {}.a (id uuid primary key, name text not null)",
                                    "create table {}.b (id uuid primary key, name text not null)"});
    }
    outcome rights(database_step& s, const input&) const {
        co_return co_await send(s, {"grant usage on schema {} to pg_monitor",
                                    "grant select, insert on {0}.a, {0}.b to pg_monitor"});
    }
    static constexpr auto steps() {
        return queue::steps<provision>(
            {{.name = "schema", .run = &provision::schema},
             {.name = "tables", .run = &provision::tables, .joins_previous = Joined},
             {.name = "rights", .run = &provision::rights, .joins_previous = Joined}});
    }

private:
    static outcome send(database_step& s, std::vector<std::string_view> texts) {
        std::string name = "t_" + s.run().str();
        std::erase(name, '-');
        pg::unit work;
        for (const std::string_view text : texts) {
            work.add_once(fmt::format(fmt::runtime(text), name));
        }
        auto got = co_await s.exec(std::move(work));
        if (!got) {
            co_return failure(got.error());
        }
        co_return step_result<>();
    }
};

struct settings {
    bool filled = false;
    std::string what, worker, app, runtime = "auto";
    int count = 20'000;
    unsigned clients = 64;
    unsigned workers = 16;
    double seconds = 5;
    std::chrono::milliseconds lease{10'000};
};

/// A loop on a thread, with pools and perhaps an engine.
class bench {
public:
    explicit bench(const settings& given) : s_(given) {
        const auto choice = runtime::choose_backend(s_.runtime);
        if (!choice) {
            throw std::runtime_error(choice.error().describe());
        }
        auto made = runtime::make_loop({.kind = choice->kind});
        if (!made) {
            throw std::runtime_error(made.error().describe());
        }
        loop_ = std::move(*made);
        known_.add(call()).add(chain<1>()).add(chain<3>()).add(chain<3, true>()).add(chain<20>());
        known_.add(provision<false>()).add(provision<true>());
        app_ = std::make_unique<pg::pool>(
            *loop_,
            pg::pool_options{
                // Commits of one pipeline come one after the other: a connection for each client.
                .name = "app",
                .conninfo = s_.app,
                .shared_max = s_.clients,
                .exclusive_max = 2,
                .pipeline_max = 1},
            budget_, metrics_);
        worker_ = std::make_unique<pg::pool>(
            *loop_,
            pg::pool_options{
                .name = "worker", .conninfo = s_.worker, .exclusive_max = s_.workers + 4},
            budget_, metrics_);
        thread_ = std::thread([this] { loop_->run(); });
    }
    ~bench() {
        loop_->stop();
        thread_.join();
    }

    void run();

private:
    template <class T>
    T await(runtime::awaitable<T> work) {
        return boost::asio::co_spawn(loop_->get_executor(), std::move(work),
                                     boost::asio::use_future)
            .get();
    }
    template <class... A>
    void print(const char* format, A... values) {
        std::printf("{\"what\":\"%s\",", s_.what.c_str());
        std::printf(format, values...);
        std::printf("}\n");
    }

    runtime::awaitable<void> enqueue_loop(std::string kind, unsigned batch, clock::time_point until,
                                          std::uint64_t limit);
    void enqueue(const std::string& kind, unsigned batch, unsigned clients, double seconds,
                 std::uint64_t limit);
    void start_engine();
    void stop_engine();
    void drain_all(const std::string& kind, int steps);
    runtime::awaitable<double> pick_up_one();
    void pickup(bool loaded);
    void recover(bool victim);

    settings s_;
    observe::metrics metrics_;
    pg::connection_budget budget_{200};
    std::unique_ptr<runtime::loop> loop_;
    registry known_;
    std::unique_ptr<pg::pool> app_, worker_;
    std::unique_ptr<engine> engine_;
    std::thread thread_;
    std::atomic<std::uint64_t> enqueued_{0};
};

runtime::awaitable<void> bench::enqueue_loop(std::string kind, unsigned batch,
                                             clock::time_point until, std::uint64_t limit) {
    enqueue_request what = request_for<call>({});
    what.kind = std::move(kind);
    while (clock::now() < until && enqueued_ < limit) {
        pg::unit work;
        if (batch == 1) {
            add_enqueue(work, run_id::make(), what);
        } else {
            std::vector<std::pair<run_id, enqueue_request>> runs;
            runs.reserve(batch);
            for (unsigned i = 0; i < batch; ++i) {
                runs.emplace_back(run_id::make(), what);
            }
            add_enqueue_batch(work, runs);
        }
        auto got = co_await app_->run(std::move(work), runtime::deadline::never());
        if (!got) {
            throw std::runtime_error(got.error().message);
        }
        enqueued_ += batch;
    }
}

void bench::enqueue(const std::string& kind, unsigned batch, unsigned clients, double seconds,
                    std::uint64_t limit) {
    const auto until = clock::now() + std::chrono::duration_cast<clock::duration>(
                                          std::chrono::duration<double>(seconds));
    std::vector<std::future<void>> all;
    enqueued_ = 0;
    for (unsigned i = 0; i < clients; ++i) {
        all.push_back(boost::asio::co_spawn(loop_->get_executor(),
                                            enqueue_loop(kind, batch, until, limit),
                                            boost::asio::use_future));
    }
    for (auto& one : all) {
        one.get();
    }
}

void bench::start_engine() {
    engine_options options;
    options.workers = s_.workers;
    options.lease = s_.lease;
    engine_ = std::make_unique<engine>(*loop_, *worker_, budget_, known_, options, metrics_);
    runtime::post(*loop_, [this] { engine_->start(); });
    while (engine_->stats().registrations == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

void bench::stop_engine() {
    await(engine_->drain(runtime::deadline::after(std::chrono::seconds(20))));
}

void bench::drain_all(const std::string& kind, int steps) {
    const unsigned batch = std::clamp(static_cast<unsigned>(s_.count) / 2, 1U, 5'000U);
    if (!s_.filled) {
        enqueue(kind, batch, 2, 1e6, static_cast<std::uint64_t>(s_.count));
    }
    const auto all = s_.filled ? static_cast<std::uint64_t>(s_.count) : enqueued_.load();
    const auto from = clock::now();
    start_engine();
    while (engine_->stats().finished < all) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const double took = std::chrono::duration<double>(clock::now() - from).count();
    stop_engine();
    print("\"per_second\":%.0f,\"runs\":%lu", steps * static_cast<double>(all) / took,
          static_cast<unsigned long>(all));
}

runtime::awaitable<double> bench::pick_up_one() {
    pg::unit work;
    begun = 0;
    enqueue_request what = request_for<call>({.number = 1});
    what.tenant = tenant_id::make();
    add_enqueue(work, run_id::make(), what);
    auto got = co_await app_->run(std::move(work), runtime::deadline::never());
    const auto committed = clock::now();
    engine_->wake();
    while (begun == 0) {
        co_await runtime::sleep_until(
            runtime::deadline::after(std::chrono::microseconds(got ? 200 : 1)));
    }
    const clock::time_point at{clock::duration(begun.load())};
    co_return std::chrono::duration<double, std::milli>(at - committed).count();
}

void bench::pickup(bool loaded) {
    if (loaded) {
        enqueue(std::string(chain<3>::kind), 5'000, 2, 1e6, static_cast<std::uint64_t>(s_.count));
    }
    start_engine();
    std::vector<double> ms;
    const auto until = clock::now() + std::chrono::duration_cast<clock::duration>(
                                          std::chrono::duration<double>(s_.seconds));
    while (clock::now() < until && (!loaded || engine_->stats().finished < enqueued_)) {
        ms.push_back(await(pick_up_one()));
        std::this_thread::sleep_for(std::chrono::milliseconds(5));  // idle again
    }
    stop_engine();
    std::sort(ms.begin(), ms.end());
    print("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"samples\":%lu", ms[ms.size() / 2],
          ms[ms.size() * 99 / 100], static_cast<unsigned long>(ms.size()));
}

/// Prints a line when it is ready and one when the call has begun, by the clock all processes
/// share.
void bench::recover(bool victim) {
    hangs = victim;
    if (victim) {
        enqueue_request what = request_for<call>({.number = 1});
        pg::unit work;
        add_enqueue(work, run_id::make(), what);
        (void)await(app_->run(std::move(work), runtime::deadline::never()));
    }
    start_engine();
    std::printf("ready\n");
    std::fflush(stdout);
    while (begun == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    print("\"begun\":%.6f", std::chrono::duration<double>(clock::duration(begun.load())).count());
    std::fflush(stdout);
    while (victim) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
    stop_engine();
}

void bench::run() {
    const std::map<std::string, std::pair<std::string, int>> drains{
        {"calls", {"bench.call", 1}},
        {"singles", {"bench.single", 1}},
        {"steps", {"bench.steps", 20}},
        {"three", {"bench.three", 1}},
        {"joined", {"bench.joined", 1}},
        {"provision", {"bench.provision", 1}},
        {"provision_joined", {"bench.provision_joined", 1}}};
    if (const auto found = drains.find(s_.what); found != drains.end()) {
        drain_all(found->second.first, found->second.second);
    } else if (s_.what == "enqueue" || s_.what == "enqueue_batch") {
        const bool batch = s_.what == "enqueue_batch";
        const unsigned size = batch ? 5'000 : 1, clients = batch ? 2 : s_.clients;
        enqueue("bench.call", size, clients, 0.5, ~0ULL);  // connections open, statements prepared
        const std::uint64_t warm_up = enqueued_;
        const auto from = clock::now();
        enqueue("bench.call", size, clients, s_.seconds, ~0ULL);
        // Whoever counts the process's CPU needs `all`: the warm-up is in it.
        print("\"runs\":%lu,\"all\":%lu,\"per_second\":%.0f", static_cast<unsigned long>(enqueued_),
              static_cast<unsigned long>(enqueued_ + warm_up),
              static_cast<double>(enqueued_) /
                  std::chrono::duration<double>(clock::now() - from).count());
    } else if (s_.what == "pickup" || s_.what == "pickup_loaded") {
        pickup(s_.what == "pickup_loaded");
    } else if (s_.what == "hang" || s_.what == "rescue") {
        recover(s_.what == "hang");
    } else {
        throw std::invalid_argument("WHAT is not one of them: " + s_.what);
    }
    await(app_->close(runtime::deadline::after(std::chrono::seconds(5))));
    await(worker_->close(runtime::deadline::after(std::chrono::seconds(5))));
}

settings read(int argc, char** argv) {
    settings s;
    if (argc < 2 || std::string_view(argv[1]) == "--help") {
        std::printf(
            "queue_bench WHAT --worker CONNINFO --app CONNINFO [--count N] [--clients N]\n"
            "    [--workers N] [--seconds S] [--lease-ms N] [--filled yes]\n"
            "    [--runtime auto|io_uring|epoll]\n"
            "WHAT: enqueue, enqueue_batch, calls, singles, steps, three, joined, provision,\n"
            "    provision_joined, pickup, pickup_loaded, hang, rescue.\n"
            "bench/sections/queue.py makes the database and calls it.\n");
        std::exit(argc < 2 ? 2 : 0);
    }
    s.what = argv[1];
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string name = argv[i], value = argv[i + 1];
        if (name == "--worker") {
            s.worker = value;
        } else if (name == "--app") {
            s.app = value;
        } else if (name == "--runtime") {
            s.runtime = value;
        } else if (name == "--count") {
            s.count = std::stoi(value);
        } else if (name == "--clients") {
            s.clients = static_cast<unsigned>(std::stoul(value));
        } else if (name == "--workers") {
            s.workers = static_cast<unsigned>(std::stoul(value));
        } else if (name == "--filled") {
            s.filled = value == "yes";
        } else if (name == "--lease-ms") {
            s.lease = std::chrono::milliseconds(std::stoi(value));
        } else if (name == "--seconds") {
            s.seconds = std::stod(value);
        } else {
            throw std::invalid_argument("no such option: " + name);
        }
    }
    return s;
}

}  // namespace

/// For main: everything else has no name outside this file.
int run_bench(int argc, char** argv) {
    bench(read(argc, argv)).run();
    return 0;
}

}  // namespace insula::queue

int main(int argc, char** argv) {
    try {
        return insula::queue::run_bench(argc, argv);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "queue_bench: %s\n", e.what());
        return 1;
    }
}
