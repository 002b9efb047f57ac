#include "pg/detail/connect.hpp"

#include "pg/detail/connect_machine.hpp"

#include "insula/observe/log.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>

namespace insula::pg::detail {
namespace {

struct free_options {
    void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};

/// The places to try, in order; or why a name has none.
struct resolved {
    std::vector<place> places;
    std::string problem;
};

/// All addresses of a name, in the order the system prefers.
std::vector<std::string> look_up_name(const std::string& name, std::string& problem) {
    std::vector<std::string> out;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int code = getaddrinfo(name.c_str(), nullptr, &hints, &found);
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> keep(found, &freeaddrinfo);
    for (const addrinfo* one = code == 0 ? found : nullptr; one != nullptr; one = one->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (getnameinfo(one->ai_addr, one->ai_addrlen, text.data(), text.size(), nullptr, 0,
                        NI_NUMERICHOST) == 0) {
            out.emplace_back(text.data());
        }
    }
    if (out.empty()) {
        problem = fmt::format("no address for host {}: {}", name, gai_strerror(code));
    }
    return out;
}

resolved resolve(const conninfo_hosts& all) {
    resolved out;
    if (all.ports.size() > 1 && all.ports.size() != all.hosts.size()) {
        out.problem = "the connection string names as many ports as hosts, or one";
        return out;
    }
    for (std::size_t i = 0; i < all.hosts.size(); ++i) {
        const std::string& host = all.hosts[i];
        const std::string port =
            all.ports.empty() ? "" : all.ports[std::min(i, all.ports.size() - 1)];
        if (is_address_or_socket(host)) {
            const bool local = host.empty() || host.front() == '/' || host.front() == '@';
            out.places.push_back({host, local ? "" : host, port});
            continue;
        }
        for (auto& address : look_up_name(host, out.problem)) {
            out.places.push_back({host, std::move(address), port});
        }
        if (!out.problem.empty()) {
            return out;
        }
    }
    return out;
}

std::string list_of(const std::vector<place>& places, std::string place::* what) {
    std::string out;
    for (const place& one : places) {
        out += (&one == places.data() ? "" : ",") + one.*what;
    }
    return out;
}

void log_notice(void*, const PGresult* result) {
    const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    observe::debug("pg.notice", {{"message", text == nullptr ? "" : text}});
}

// A path that died is noticed after 40 seconds while nothing is asked (30 of silence, then a probe
// after 10 that nobody answers), and 10 seconds after something was sent.
pgconn_ptr start(const connect_options& options, const std::vector<place>& places) {
    std::vector<const char*> keys{
        "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
        "dbname",          "application_name",    "client_encoding"};
    std::vector<const char*> values{
        "30",  "10", "3", "10000", options.conninfo.c_str(), options.application_name.c_str(),
        "UTF8"};
    const auto hosts = list_of(places, &place::host);
    const auto addresses = list_of(places, &place::address);
    const auto ports = list_of(places, &place::port);
    if (!places.empty()) {
        keys.insert(keys.end(), {"host", "hostaddr"});
        values.insert(values.end(), {hosts.c_str(), addresses.c_str()});
        if (!places.front().port.empty()) {
            keys.push_back("port");
            values.push_back(ports.c_str());
        }
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    // 1: "dbname" may be a whole conninfo; what comes later wins over it, and it over what is
    // before.
    return pgconn_ptr(PQconnectStartParams(keys.data(), values.data(), 1));
}

poll_answer poll(PGconn* conn) {
    switch (PQconnectPoll(conn)) {
        case PGRES_POLLING_READING:
            return poll_answer::reading;
        case PGRES_POLLING_WRITING:
            return poll_answer::writing;
        case PGRES_POLLING_OK:
            return poll_answer::ok;
        default:
            return poll_answer::failed;
    }
}

bool prepare_for_pipelining(PGconn* conn) {
    PQsetNoticeReceiver(conn, &log_notice, nullptr);
    return PQsetnonblocking(conn, 1) == 0 && PQenterPipelineMode(conn) == 1;
}

/// One attempt: the shell around connect_machine.
class attempt {
public:
    attempt(runtime::loop& home, const connect_options& options,
            std::shared_ptr<pool_counters> counters, runtime::cpu_pool* resolver,
            runtime::task_group& tasks, budget_ticket ticket, runtime::deadline until)
        : home_(home),
          options_(options),
          counters_(std::move(counters)),
          resolver_(resolver),
          tasks_(tasks),
          ticket_(std::move(ticket)),
          until_(until) {}

    /// Second connection of another attempt: for a few questions, whatever is in between.
    attempt(const attempt& first, std::vector<place> same)
        : home_(first.home_),
          options_(first.options_),
          counters_(first.counters_),
          resolver_(first.resolver_),
          tasks_(first.tasks_),
          until_(first.until_),
          is_second_(true),
          places_(std::move(same)) {}

    runtime::awaitable<pg_result<std::shared_ptr<connection>>> run() {
        const conninfo_hosts hosts = parse_hosts(options_.conninfo);
        if (!hosts.problem.empty()) {
            co_return pg_error{.state = sqlstate::unable_to_connect, .message = hosts.problem};
        }
        const bool looks_up = !is_second_ && hosts.needs_look_up();
        if (!looks_up && !is_second_ && !hosts.has_hostaddr && hosts.hosts.size() > 1) {
            places_ = resolve(hosts).places;  // addresses only: nobody is asked
        }
        connect_step step = machine_.begin(looks_up);
        for (;;) {
            switch (step.next) {
                case connect_step::what::look_up:
                    step = co_await look_up(hosts);
                    break;
                case connect_step::what::start:
                    conn_ = start(options_, places_);
                    step = machine_.started(has_started(), socket(), message());
                    break;
                case connect_step::what::wait_read:
                case connect_step::what::wait_write:
                    step = co_await wait(step);
                    break;
                case connect_step::what::poll: {
                    const poll_answer answer = poll(conn_.get());
                    step = machine_.polled(answer, socket(), message());
                    break;
                }
                case connect_step::what::set_up:
                    step = machine_.set_up(prepare_for_pipelining(conn_.get()), message());
                    break;
                case connect_step::what::probe:
                    step = co_await probe();
                    if (is_second_ && step.next != connect_step::what::failed) {
                        co_return std::move(opened_);
                    }
                    break;
                case connect_step::what::compare:
                    step = machine_.compared(co_await compare());
                    break;
                case connect_step::what::settle:
                    step = machine_.settled(co_await settle());
                    break;
                case connect_step::what::ready:
                    co_return std::move(opened_);
                case connect_step::what::failed:
                    if (opened_) {
                        opened_->shut_down();
                    }
                    co_return std::move(step.error);
            }
        }
    }

private:
    int socket() const { return conn_ ? PQsocket(conn_.get()) : -1; }
    bool has_started() const { return conn_ && PQstatus(conn_.get()) != CONNECTION_BAD; }
    std::string message() const { return conn_ ? message_of(conn_.get()) : "out of memory"; }

    runtime::awaitable<connect_step> look_up(const conninfo_hosts& hosts) {
        if (resolver_ == nullptr) {
            co_return machine_.looked_up(false, "a host name, but nothing to look it up with");
        }
        struct job {
            conninfo_hosts hosts;
            resolved operator()() const { return resolve(hosts); }
        };
        auto answer = co_await resolver_->run(job{hosts});
        if (!answer) {
            co_return machine_.looked_up(false, "too many name look-ups at once");
        }
        places_ = std::move(answer->places);
        co_return machine_.looked_up(answer->problem.empty(), std::move(answer->problem));
    }

    // libpq goes on to the next place when one refuses, and waits for ever for one that is silent.
    // So each has its share of the time, and whoever used it up is left out.
    runtime::deadline share() {
        const std::string_view address = conn_ ? PQhostaddr(conn_.get()) : "";
        std::size_t now = at_;
        while (now < places_.size() && places_[now].address != address) {
            ++now;
        }
        if (places_.size() < 2 || now == places_.size()) {
            return until_;
        }
        if (now != at_ || !share_) {
            at_ = now;
            const auto left = static_cast<long>(places_.size() - at_);
            share_ = left == 1 ? until_
                               : until_.sooner(runtime::deadline::after(
                                     std::chrono::duration_cast<std::chrono::milliseconds>(
                                         until_.remaining() / left)));
        }
        return *share_;
    }
    connect_step without_the_silent() {
        places_.erase(places_.begin(), places_.begin() + static_cast<std::ptrdiff_t>(at_) + 1);
        at_ = 0;
        share_.reset();
        conn_ = start(options_, places_);
        return machine_.started_over(has_started(), socket(), message());
    }

    // A watch for each wait, gone before PQconnectPoll: that may close the socket and open another
    // one, even under the same number.
    runtime::awaitable<connect_step> wait(connect_step step) {
        runtime::descriptor_watch watch(home_, step.socket);
        const int interest = step.next == connect_step::what::wait_read
                                 ? runtime::descriptor_watch::read
                                 : runtime::descriptor_watch::write;
        const auto ready = co_await watch.wait(interest, share());
        co_await watch.release();
        if (!ready && at_ + 1 < places_.size() && !until_.expired()) {
            co_return without_the_silent();
        }
        co_return machine_.waited(ready.has_value());
    }

    runtime::awaitable<connect_step> probe() {
        opened_ = std::make_shared<connection>(home_, std::move(conn_), counters_,
                                               options_.statement_bytes_max, std::move(ticket_));
        if (!is_second_) {
            opened_->belong_to(options_.owner);
        }
        if (!tasks_.spawn(connection::drive(opened_), "pg.connection")) {
            opened_.reset();
            co_return machine_.probed(
                0, std::nullopt,
                {.state = sqlstate::pool_closed, .message = "the pool is closing"});
        }
        unit work;
        // Both name the backend for as long as the server runs, should its last answer be lost.
        work.add_once(
            "select p.pid, a.backend_start from pg_catalog.pg_backend_pid() p(pid)"
            " left join pg_catalog.pg_stat_get_activity(p.pid) a on true");
        auto answer = co_await ask(*opened_, std::move(work));
        if (!answer) {
            co_return machine_.probed(0, std::nullopt, std::move(answer).error());
        }
        const auto row = answer->at(0).only();
        const auto pid = row.get<std::int32_t>(0);
        opened_->set_backend(pid, row.get<std::optional<timestamp>>(1));
        co_return machine_.probed(opened_->claimed_pid(), pid, {});
    }

    runtime::awaitable<pg_result<results>> ask(connection& on, unit work) {
        auto what = std::make_shared<request>(home_, std::move(work), unit_options{}, until_);
        what->why = request::purpose::maintenance;
        // Nothing prepared until it is known that what is prepared stays ours: the preamble's name
        // would be in the way of whoever gets the backend next.
        what->preamble = false;
        on.send(what);
        (void)co_await what->done.wait(until_);
        if (!what->finished) {
            co_return pg_error{.state = sqlstate::unable_to_connect,
                               .message = "the first query got no answer"};
        }
        if (what->error) {
            co_return std::move(*what->error);
        }
        co_return std::move(what->answers);
    }

    /// Only now: in the backend of a pooler that is refused, a setting would be somebody else's.
    runtime::awaitable<std::optional<pg_error>> settle() {
        unit work;
        work.add_once(session_sql);
        auto answer = co_await ask(*opened_, std::move(work));
        co_return answer ? std::nullopt : std::optional(std::move(answer).error());
    }

    /// Takes turns with a second connection.
    runtime::awaitable<backends_seen> compare() {
        backends_seen seen{{opened_->backend_pid()}, {}};
        attempt other(*this, places_.empty() ? places_ : std::vector{places_.at(at_)});
        auto second = co_await other.run();
        if (!second) {
            seen.failure = std::move(second).error();
            co_return seen;
        }
        seen.there.push_back((*second)->backend_pid());
        for (int turn = 0; turn < compare_turns && !seen.failure; ++turn) {
            co_await ask_pid(*opened_, seen.here, seen.failure);
            if (!seen.failure) {
                co_await ask_pid(**second, seen.there, seen.failure);
            }
        }
        (*second)->shut_down();
        co_return seen;
    }

    runtime::awaitable<void> ask_pid(connection& on, std::vector<int>& to,
                                     std::optional<pg_error>& failure) {
        unit work;
        work.add_once("select pg_catalog.pg_backend_pid()");
        auto answer = co_await ask(on, std::move(work));
        if (answer) {
            to.push_back(answer->at(0).scalar<std::int32_t>());
        } else {
            failure = std::move(answer).error();
        }
    }

    runtime::loop& home_;
    const connect_options& options_;
    std::shared_ptr<pool_counters> counters_;
    runtime::cpu_pool* resolver_;
    runtime::task_group& tasks_;
    budget_ticket ticket_;
    runtime::deadline until_;
    bool is_second_ = false;
    connect_machine machine_;
    std::vector<place> places_;  // none: libpq finds them in the conninfo
    std::size_t at_ = 0;         // which of them it is at
    std::optional<runtime::deadline> share_;
    pgconn_ptr conn_;
    std::shared_ptr<connection> opened_;
};

}  // namespace

bool is_address_or_socket(const std::string& host) {
    std::array<unsigned char, 16> ignored{};
    return host.empty() || host.front() == '/' || host.front() == '@' ||
           inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
           inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

bool conninfo_hosts::needs_look_up() const {
    return !has_hostaddr && !std::all_of(hosts.begin(), hosts.end(), is_address_or_socket);
}

conninfo_hosts parse_hosts(const std::string& conninfo) {
    conninfo_hosts out;
    char* problem = nullptr;
    const std::unique_ptr<PQconninfoOption, free_options> options(
        PQconninfoParse(conninfo.c_str(), &problem));
    const std::unique_ptr<char, void (*)(void*)> keep(problem, &PQfreemem);
    if (!options) {
        // libpq's text may quote the conninfo, which holds a password.
        out.problem = "the connection string cannot be read";
        return out;
    }
    for (const PQconninfoOption* o = options.get(); o->keyword != nullptr; ++o) {
        if (o->val == nullptr) {
            continue;
        }
        const std::string_view key = o->keyword;
        std::string_view value = o->val;
        out.has_hostaddr |= key == "hostaddr" && !value.empty();
        while (key == "host" || key == "port") {
            const auto comma = value.find(',');
            (key == "host" ? out.hosts : out.ports).emplace_back(value.substr(0, comma));
            if (comma == std::string_view::npos) {
                break;
            }
            value.remove_prefix(comma + 1);
        }
    }
    return out;
}

runtime::awaitable<pg_result<std::shared_ptr<connection>>> open_connection(
    runtime::loop& home, const connect_options& options, std::shared_ptr<pool_counters> counters,
    runtime::cpu_pool* resolver, runtime::task_group& tasks, budget_ticket ticket,
    runtime::deadline until) {
    attempt one(home, options, counters, resolver, tasks, std::move(ticket), until);
    auto opened = co_await one.run();
    pool_counters::add(opened ? counters->connects : counters->connect_failures);
    co_return opened;
}

}  // namespace insula::pg::detail
