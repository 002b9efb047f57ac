#pragma once
// libpq without anything of ours: what other ways of working cost. One thread, poll(), any number
// of connections; each does one transaction after another, or keeps several in its pipeline.

#include "database_world.hpp"

#include <poll.h>
#include <sys/resource.h>

namespace insula::bench {

/// One prepared execution or one text, or the end of what goes in one round trip.
struct step {
    std::string statement{};  ///< name of a prepared statement
    std::string sql{};        ///< or a text
    std::vector<std::string> params{};
    bool round_trip = true;  ///< wait for the answer before the next step
};
using script = std::vector<step>;

/// A transaction for the n-th tenant, or row; prepares what it needs the first time.
using make_script = std::function<script(PGconn* on, unsigned random)>;

class raw_client {
public:
    raw_client(std::vector<blocking_connection> connections, bool pipeline, int window)
        : connections_(std::move(connections)), pipeline_(pipeline), window_(window) {}

    std::vector<int> backends() const {
        std::vector<int> pids;
        for (const auto& each : connections_) {
            pids.push_back(PQbackendPID(each.get()));
        }
        return pids;
    }
    double backend_cpu_ns() const {
        double sum = 0;
        for (const int pid : backends()) {
            sum += cpu_ns_of(pid);
        }
        return sum;
    }

    void run(const make_script& what, long count);

private:
    struct at_work {
        PGconn* on;
        script steps{};
        std::size_t next = 0;
        int waiting_for = 0;  // answers that end a round trip
    };
    void begin(at_work& w, const make_script& what);
    void send_round_trip(at_work& w) const;
    bool take(at_work& w) const;

    std::vector<blocking_connection> connections_;
    bool pipeline_;
    int window_;
    std::uint64_t seed_ = 7;
    unsigned turn_ = 0;
};

inline void raw_client::begin(at_work& w, const make_script& what) {
    seed_ = seed_ * 6364136223846793005ULL + 1442695040888963407ULL;
    w.steps = what(w.on, draws_in_turn ? turn_++ : static_cast<unsigned>(seed_ >> 33));
    w.next = 0;
    send_round_trip(w);
}

inline void raw_client::send_round_trip(at_work& w) const {
    for (bool more = true; more && w.next < w.steps.size();) {
        const step& s = w.steps[w.next++];
        std::vector<const char*> values;
        for (const std::string& p : s.params) {
            values.push_back(p.c_str());
        }
        const int count = static_cast<int>(values.size());
        const int sent = s.statement.empty()
                             ? PQsendQueryParams(w.on, s.sql.c_str(), count, nullptr, values.data(),
                                                 nullptr, nullptr, 1)
                             : PQsendQueryPrepared(w.on, s.statement.c_str(), count, values.data(),
                                                   nullptr, nullptr, 1);
        if (sent != 1) {
            throw std::runtime_error(PQerrorMessage(w.on));
        }
        more = !s.round_trip;
    }
    if (pipeline_) {
        PQpipelineSync(w.on);
    }
    ++w.waiting_for;
    PQflush(w.on);
}

/// One answer that is there; true when it ends a round trip.
inline bool raw_client::take(at_work& w) const {
    const blocking_result answer(PQgetResult(w.on));
    const auto status = PQresultStatus(answer.get());
    if (answer && status == PGRES_FATAL_ERROR) {
        throw std::runtime_error(PQresultErrorMessage(answer.get()));
    }
    const bool ends = pipeline_ ? answer && status == PGRES_PIPELINE_SYNC : !answer;
    w.waiting_for -= ends ? 1 : 0;
    return ends;
}

inline void raw_client::run(const make_script& what, long count) {
    std::vector<at_work> all;
    std::vector<pollfd> polls;
    long left = count;
    long running = 0;
    for (const auto& each : connections_) {
        all.push_back({each.get()});
        polls.push_back({PQsocket(each.get()), POLLIN, 0});
    }
    for (at_work& w : all) {
        for (int i = 0; i < window_ && left > 0; ++i, --left, ++running) {
            begin(w, what);
        }
    }
    while (running > 0) {
        ::poll(polls.data(), polls.size(), -1);
        for (std::size_t i = 0; i < all.size(); ++i) {
            at_work& w = all[i];
            if (polls[i].revents == 0) {
                continue;
            }
            if (PQconsumeInput(w.on) != 1) {
                throw std::runtime_error(PQerrorMessage(w.on));
            }
            while (w.waiting_for > 0 && PQisBusy(w.on) == 0) {
                if (!take(w)) {
                    continue;
                }
                if (w.next < w.steps.size() && !pipeline_) {
                    send_round_trip(w);
                } else if (left > 0) {
                    --left;
                    begin(w, what);
                } else {
                    --running;
                }
            }
        }
    }
}

inline double thread_cpu_ns() {
    rusage used{};
    ::getrusage(RUSAGE_THREAD, &used);
    const auto us = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
    };
    return (us(used.ru_utime) + us(used.ru_stime)) * 1e3;
}

/// `count` connections of a login, in pipeline mode or not, each with `prepare` run first.
inline std::vector<blocking_connection> open_many(const std::string& conninfo, int count,
                                                  const std::vector<std::string>& prepare,
                                                  bool pipeline) {
    std::vector<blocking_connection> made;
    for (int i = 0; i < count; ++i) {
        made.push_back(open_blocking(conninfo));
        for (const std::string& sql : prepare) {
            run_sql(made.back().get(), sql);
        }
        PQsetnonblocking(made.back().get(), 1);
        if (pipeline) {
            PQenterPipelineMode(made.back().get());
        }
    }
    return made;
}

}  // namespace insula::bench
