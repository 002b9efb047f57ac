#include "random_units.hpp"

#include "insula/runtime/timer.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>

namespace insula::pg::test_support {
namespace {

constexpr statement whoami{"random.whoami", "select marker from {t}.whoami"};
constexpr statement star{"random.star", "select * from {t}.projects where id = $1"};
constexpr statement rename{"random.rename", "update {t}.projects set name = $2 where id = $1"};
constexpr statement divide{"random.divide", "select 1 / $1"};
constexpr statement late{"random.late", "insert into {t}.late values ($1, $2)"};
constexpr statement nap{"random.nap", "select pg_sleep($1)"};
constexpr statement bad_parse{"random.bad_parse", "select no_such_column from {t}.projects"};
constexpr statement duplicate{"random.duplicate", "insert into {t}.projects values (1, 'again')"};
constexpr statement xact_lock{"random.xact_lock", "select pg_advisory_xact_lock($1)"};
constexpr statement current{"random.current", "select current_user::text"};
constexpr statement local_setting{"random.local", "select set_config($1, $2, true)"};
constexpr statement take_gate{"random.gate", "update public.gate set n = n + 1 where id = 100"};

/// The session as whoever comes next finds it. Prepared names beyond the pool's own are named, and
/// so is every setting that is not what a new session has.
constexpr const char* session_sql =
    "select concat_ws('|', current_user, session_user, current_setting('role'),"
    " (select string_agg(name || '=' || setting, ',' order by name) from pg_settings"
    "  where setting is distinct from reset_val),"
    " (select string_agg(locktype || ' ' || mode, ',') from pg_locks"
    "  where pid = pg_backend_pid() and locktype <> 'virtualxid'"
    "  and not (locktype = 'relation' and mode = 'AccessShareLock')),"
    " pg_my_temp_schema(), (select string_agg(name, ',') from pg_cursors where name <> ''),"
    " (select string_agg(c, ',') from pg_listening_channels() c),"
    " (select string_agg(name, ',') from pg_prepared_statements"
    "  where name !~ '^(s|preamble)[0-9]+$'))";

constexpr const char* create_tenant = R"(
create role {0} nologin in role {1}_tenant;
grant {0} to {1}_cell;
create schema {0};
grant usage on schema {0} to {0};
create table {0}.whoami (marker text not null);
insert into {0}.whoami values ('{2}');
create table {0}.projects (id int primary key, name text not null unique);
insert into {0}.projects select g, 'project ' || g from generate_series(1, 20) g;
create table {0}.late (id int, ref int references {0}.projects deferrable initially deferred);
grant select, insert, update, delete on all tables in schema {0} to {0};
)";

struct tenant_state {
    bool gone = false;           // role and schema were dropped
    bool not_a_member = false;   // the login may not take its role
    bool cannot_select = false;  // the role may not read whoami
    bool wide = false;           // projects has a column more
};

/// A unit and what must come of it.
struct attempt {
    const tenant& who;
    const tenant& other;
    std::uint64_t dice;
    unit work{};
    unit_options how{
        .lock_timeout = 50ms, .statement_timeout = 0ms, .allow_exclusive_retry = false};
    deadline until = soon();
    std::vector<std::string> wanted{"00000"};
    int fails_at = -2;       ///< the statement that fails; -2: not looked at
    bool whatever = false;   ///< nobody waits for the answer: it may be any of an interrupted unit
    bool cancelled = false;  ///< the coroutine that waits is cancelled
    bool refused = false;    ///< a bug of the caller's: nothing may be sent
    bool scoped = true;

    void fails(std::string state, int at = -2) {
        wanted = {std::move(state)};
        fails_at = at;
    }
    void once(std::string sql, std::string state = "00000") {
        work.add_once(std::move(sql));
        wanted = {std::move(state)};
    }
};

void fail_at(attempt& a, const statement& good, const statement& bad, std::string state) {
    const int count = 1 + static_cast<int>(a.dice / 16 % 6);
    const int which = static_cast<int>(a.dice / 128 % static_cast<unsigned>(count));
    for (int i = 0; i < count; ++i) {
        a.work.add(i == which ? bad : good, i == which ? 0 : 1);
    }
    a.fails(std::move(state), 2 + which);
}

void refuse(attempt& a) {
    static constexpr std::array texts{"begin",
                                      "commit",
                                      "rollback",
                                      "savepoint a",
                                      "set role none",
                                      "set search_path = x",
                                      "set session authorization default",
                                      "reset all",
                                      "listen x",
                                      "discard all",
                                      "load 'x'",
                                      "copy public.gate to stdout",
                                      "start transaction",
                                      "-- x\n /* y */ SET work_mem = 1",
                                      "prepare transaction 'x'"};
    a.work.add_once(texts.at(a.dice % texts.size()));
    a.refused = true;
}

std::string text_of(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception& reason) {
        return reason.what();
    }
}

/// The world and what the acts have made of it.
struct stage {
    world& where;
    std::vector<tenant_state> states;

    void sql(std::string_view pattern, std::size_t who) {
        where.admin(fmt::format(fmt::runtime(pattern), where[who].role, where.db().role_prefix(),
                                where[who].marker));
    }
    void change_columns(std::size_t who) {
        if (states[who].gone) {
            return;
        }
        sql(states[who].wide ? "alter table {0}.projects drop column x"
                             : "alter table {0}.projects add column x int default 7",
            who);
        states[who].wide = !states[who].wide;
    }
    void change_select(std::size_t who) {
        if (states[who].gone) {
            return;
        }
        sql(states[who].cannot_select ? "grant select on {0}.whoami to {0}"
                                      : "revoke select on {0}.whoami from {0}",
            who);
        states[who].cannot_select = !states[who].cannot_select;
    }
    void change_member(std::size_t who) {
        if (states[who].gone) {
            return;
        }
        sql(states[who].not_a_member ? "grant {0} to {1}_cell" : "revoke {0} from {1}_cell", who);
        states[who].not_a_member = !states[who].not_a_member;
    }
    void change_existence(std::size_t who) {
        sql(states[who].gone ? create_tenant : "drop schema {0} cascade; drop role {0}", who);
        states[who] = {.gone = !states[who].gone};
    }
    void put_right() {
        for (std::size_t who = 0; who < states.size(); ++who) {
            if (states[who].gone) {
                change_existence(who);
            }
            if (states[who].not_a_member) {
                change_member(who);
            }
            if (states[who].cannot_select) {
                change_select(who);
            }
            if (states[who].wide) {
                change_columns(who);
            }
        }
    }
};

struct kind {
    const char* name;
    unsigned weight;  ///< 0: planted by tests only
    void (*make)(attempt&);
    void (stage::*change)(std::size_t who) = nullptr;
    bool alone = false;  ///< nothing else is in flight meanwhile
};

using a_ = attempt&;

constexpr auto kinds = std::to_array<kind>({
    {"read", 20, [](a_ a) { a.work.add(star, 1 + static_cast<int>(a.dice % 20)); }},
    {"write", 12,
     [](a_ a) { a.work.add(late, 1, 1).add(rename, 2, fmt::format("renamed {}", a.dice)); }},
    {"long pipeline", 3,
     [](a_ a) {
         for (int i = 0; i < 40; ++i) {
             a.work.add(star, i);
         }
     }},
    {"error at a statement", 10, [](a_ a) { fail_at(a, divide, divide, "22012"); }},
    {"error at a parse", 6,
     [](a_ a) {
         const auto at = a.dice % 3;
         for (std::uint64_t i = 0; i < 3; ++i) {
             i == at ? a.work.add(bad_parse) : a.work.add(current);
         }
         a.fails("42703", 2 + static_cast<int>(at));
     }},
    {"unique key", 5,
     [](a_ a) {
         a.work.add(rename, 1, "taken over").add(duplicate).add(whoami);
         a.fails("23505", 3);
     }},
    {"deferred key, at the end", 5,
     [](a_ a) {
         a.work.add(late, 1, 999'999);
         a.fails("23503", -1);
     }},
    {"statement timeout", 5,
     [](a_ a) {
         a.how.statement_timeout = 2ms;
         a.work.add(nap, 5.0).add(whoami);
         a.fails("57014");
     }},
    {"lock timeout", 5,
     [](a_ a) {
         a.how.lock_timeout = 2ms;
         a.work.add(take_gate).add(whoami);
         a.fails("55P03", 2);
     }},
    {"lock and settings of the transaction", 8,
     [](a_ a) {
         a.work.add(xact_lock, static_cast<std::int64_t>(a.dice % 100))
             .add(local_setting, "search_path", a.who.role)
             .add(local_setting, "work_mem", "5MB")
             .add_once("set local random_page_cost = 3")
             .add_once("set constraints all immediate");
     }},
    {"another tenant's table", 6,
     [](a_ a) { a.once("select marker from " + a.other.role + ".whoami", "42501"); }},
    {"the login's own rights", 4,
     [](a_ a) {
         a.work.add(local_setting, "role", "none").add(star, 1);
         a.fails("42501", 3);
     }},
    {"no tenant at all", 5,
     [](a_ a) {
         a.work = unit();
         a.work.add_once("select marker from " + a.who.role + ".whoami");
         a.fails("42501", 0);
         a.scoped = false;
     }},
    {"a sibling's role in the middle", 4,  // what a cell is: see docs/security.md
     [](a_ a) { a.work.add(local_setting, "role", a.other.role); }},
    {"not SQL", 4, [](a_ a) { a.once("this is not SQL", "42601"); }},
    {"an error raised", 4,
     [](a_ a) { a.once("do $$ begin raise 'x' using errcode = 'IS001'; end $$", "IS001"); }},
    {"a table made", 3, [](a_ a) { a.once("create table {t}.mine ()", "42501"); }},
    {"a temporary table made", 3, [](a_ a) { a.once("create temporary table mine ()", "42501"); }},
    {"a cursor", 2, [](a_ a) { a.once("declare c cursor for select 1", "25P01"); }},
    {"a notification", 3, [](a_ a) { a.once("notify random_units, 'x'"); }},
    // Alone: it may itself be repeated, and a unit that meets it twice is not repeated again. Those
    // behind it find out together that their names are gone.
    {"every prepared name dropped", 3, [](a_ a) { a.once("deallocate all"); }, nullptr, true},
    {"commands that are everybody's", 4, &refuse},
    {"nobody waits any more", 6,
     [](a_ a) {
         a.work.add(nap, 0.002).add(rename, 3, "nobody looks at 3");
         a.until = deadline::after(std::chrono::microseconds(a.dice % 3000));
         a.whatever = true;
     }},
    {"cancelled", 6,
     [](a_ a) {
         a.work.add(nap, 0.002).add(rename, 4, "nobody looks at 4");
         a.cancelled = a.whatever = true;
     }},
    {"columns change", 3, nullptr, &stage::change_columns},
    {"rights to a table change", 2, nullptr, &stage::change_select},
    {"membership changes", 2, nullptr, &stage::change_member},
    {"a tenant goes or comes", 2, nullptr, &stage::change_existence},
    // Planted: what only SQL of an attacker's choosing does, and what must be seen.
    {"leak of a setting", 0, [](a_ a) { a.once("select set_config('work_mem', '7MB', false)"); }},
    {"leak of a lock", 0, [](a_ a) { a.once("select pg_advisory_lock(4711)"); }},
    {"leak of a role", 0,
     [](a_ a) { a.once("select set_config('role', '" + a.who.role + "', false)"); }},
    {"leak of a name", 0, [](a_ a) { a.once("prepare left_over as select 1"); }},
    {"leak of a cursor", 0,
     [](a_ a) { a.once("declare left_over cursor with hold for select 1"); }},
});

/// Runs acts on one pool, on one loop.
class performer {
public:
    performer(runtime::loop& home, stage& on, verdict_on_acts& out)
        : home_(home),
          stage_(on),
          out_(out),
          pool_(home, options(on.where), budget_, metrics_),
          blocker_(on.where.db().admin_conninfo()),
          ended_(home) {
        blocker_.query("begin; select from public.gate where id = 100 for update");
    }

    awaitable<void> run(const std::vector<act>& acts) {
        unit first;
        first.add(current);
        (void)co_await pool_.run(std::move(first), soon());
        fresh_ = co_await digest();
        for (const act& what : acts) {
            const bool change = kinds.at(what.kind).change != nullptr;
            if (what.alone || change || kinds.at(what.kind).alone || running_ > 24) {
                co_await all_ended();
            }
            if (!out_.trouble.empty()) {
                break;
            }
            if (change) {
                (stage_.*kinds.at(what.kind).change)(tenant_of(what));
                ++out_.seen[what.kind];
            } else {
                start(perform(what));
            }
            start(look(what));
            ++out_.done;
            if (kinds.at(what.kind).alone) {
                co_await all_ended();
            }
        }
        co_await all_ended();
        co_await count_names();
        out_.connects = pool_.stats().connects;
        co_await pool_.close(soon());
    }

private:
    static pool_options options(world& where) {
        pool_options o;
        o.name = "random";
        o.conninfo = where.conninfo();
        return o;
    }
    std::size_t tenant_of(const act& what) const {
        return what.dice % stage_.where.tenants().size();
    }

    void complain(const act& what, const std::string& why) {
        if (out_.trouble.empty()) {
            out_.trouble = describe(what) + ": " + why;
        }
    }

    awaitable<void> perform(act what) {
        const auto& tenants = stage_.where.tenants();
        const auto who = tenant_of(what);
        attempt a{tenants[who], tenants[(who + 1) % tenants.size()], what.dice / tenants.size()};
        a.work = as(a.who);
        a.work.add(current).add(whoami);
        kinds.at(what.kind).make(a);
        expect_of_state(a, who, (who + 1) % tenants.size());
        std::string got;
        try {
            auto answer = co_await run_unit(a);
            got = check(a, answer);
        } catch (const std::logic_error& reason) {
            got = a.refused ? "" : std::string("thrown: ") + reason.what();
            a.refused = false;
        }
        if (a.refused) {
            got = "it was sent";
        }
        if (got.empty()) {
            ++out_.seen[what.kind];
        } else {
            complain(what, got);
        }
    }

    /// A tenant that is gone, or without its rights, answers that to everything.
    void expect_of_state(attempt& a, std::size_t who, std::size_t other) const {
        const auto& is = stage_.states[who];
        const auto& is_other = stage_.states[other];
        if (!a.scoped) {
            a.wanted = {is.gone ? "42P01" : "42501"};
        } else if (is.gone) {
            a.fails("22023", -1);
        } else if (is.not_a_member) {
            a.fails("42501", -1);
        } else if (is.cannot_select) {
            a.fails("42501", 1);
        } else if (is_other.gone || is_other.not_a_member) {
            // Whoever reaches for the other one meets what the other one has become.
            a.wanted.insert(a.wanted.end(), {"42P01", "22023", "42501"});
        }
        if (a.how.statement_timeout.count() != 0) {
            a.wanted.emplace_back("57014");  // on a busy machine any of its statements is too slow
        }
    }

    awaitable<pg_result<results>> run_unit(attempt& a) {
        if (!a.cancelled) {
            return pool_.run(std::move(a.work), a.how, a.until);
        }
        return run_cancelled(a);
    }
    awaitable<pg_result<results>> run_cancelled(attempt& a) {
        boost::asio::cancellation_signal signal;
        runtime::event over(home_);
        boost::asio::co_spawn(
            home_, pool_.run(std::move(a.work), a.how, a.until),
            boost::asio::bind_cancellation_slot(
                signal.slot(),
                [&over](const std::exception_ptr&, const pg_result<results>&) { over.set(); }));
        co_await runtime::sleep_for(std::chrono::microseconds(a.dice % 3000));
        signal.emit(boost::asio::cancellation_type::terminal);
        (void)co_await over.wait(soon());
        co_return pg_error{.state = sqlstate::query_canceled};
    }

    static std::string check(const attempt& a, const pg_result<results>& answer) {
        const std::string state(answer ? "00000" : answer.error().state.str());
        if (a.whatever && (state == "00000" || state == "57014" || state == "IN002")) {
            return "";
        }
        if (std::ranges::find(a.wanted, state) == a.wanted.end()) {
            return fmt::format("{} instead of {} {}", state, a.wanted.front(),
                               answer ? "" : describe(answer.error()));
        }
        if (!answer) {
            return a.fails_at == -2 || a.wanted.size() > 1 || answer.error().statement == a.fails_at
                       ? ""
                       : fmt::format("statement {} failed, not {}", answer.error().statement,
                                     a.fails_at);
        }
        const bool own = answer->at(0).scalar<std::string>() == a.who.role &&
                         answer->at(1).scalar<std::string>() == a.who.marker;
        return own ? "" : "rows of somebody else";
    }

    awaitable<void> look(act behind) {
        const auto now = co_await digest();
        if (now != fresh_) {
            complain(behind, "the session is now " + now + ", it was " + fresh_);
        }
    }

    /// Without the preamble that every ordinary unit begins with, which would put role and time
    /// limits right before they could be seen; and not under a prepared name.
    awaitable<std::string> digest() {
        auto on = detail::pool_test_access::shared_connection(pool_);
        if (!on) {  // a machine that is very late looks like a peer that is silent: it is replaced
            unit first;
            first.add(current);
            (void)co_await pool_.run(std::move(first), soon());
            on = detail::pool_test_access::shared_connection(pool_);
        }
        if (!on) {
            co_return "gone with its connection";
        }
        unit u;
        u.add_once(session_sql);
        const auto question =
            std::make_shared<detail::request>(home_, std::move(u), unit_options{}, soon());
        question->preamble = false;
        question->why = detail::request::purpose::maintenance;
        on->send(question);
        (void)co_await question->done.wait(soon());
        co_return question->answers.empty()
            ? (question->error ? describe(*question->error) : "no answer")
            : question->answers.at(0).scalar<std::string>();
    }

    /// The server knows no name of the pool's that the pool does not know of.
    awaitable<void> count_names() {
        const auto on = detail::pool_test_access::shared_connection(pool_);
        if (!on) {
            co_return;
        }
        // Behind what is being deallocated: where one name of those is gone ("deallocate all"), the
        // others are garbage again. And before asking: the question may send garbage on its way.
        (void)co_await digest();
        const auto known = on->statements().size() + on->statements().garbage().size() + 1;
        unit u;
        u.add_once("select count(*) from pg_prepared_statements");
        const auto answer = co_await pool_.run(std::move(u), soon());
        const auto there = answer ? answer->at(0).scalar<std::int64_t>() : 0;
        if (there > static_cast<std::int64_t>(known) && out_.trouble.empty()) {
            out_.trouble =
                fmt::format("{} prepared names, of which the pool knows {}", there, known);
        }
    }

    void start(awaitable<void> work) {
        ++running_;
        boost::asio::co_spawn(home_, std::move(work), [this](const std::exception_ptr& thrown) {
            if (thrown && out_.trouble.empty()) {
                out_.trouble = "thrown: " + text_of(thrown);
            }
            --running_;
            ended_.set();
        });
    }
    awaitable<void> all_ended() {
        while (running_ != 0) {
            (void)co_await ended_.wait(deadline::never());
        }
    }

    runtime::loop& home_;
    stage& stage_;
    verdict_on_acts& out_;
    observe::metrics metrics_;
    connection_budget budget_{8};
    pool pool_;
    insula::test::sql_connection blocker_;  // holds a row of `gate`
    std::string fresh_;
    std::size_t running_ = 0;
    runtime::event ended_;
};

/// Of one world for the whole program, so that what an earlier sequence has left is put right.
stage& stage_of(world& where) {
    static std::map<world*, stage> stages;
    auto [at, made] = stages.try_emplace(&where, stage{where, {}});
    if (made) {
        at->second.states.resize(where.tenants().size());
        where.admin(
            "do $$ begin execute format('revoke temporary on database %I from public',"
            " current_database()); end $$");
    }
    at->second.put_right();
    return at->second;
}

}  // namespace

std::string describe(const act& what) {
    return fmt::format("{} (dice {}{})", kinds.at(what.kind).name, what.dice,
                       what.alone ? "" : ", behind the one before");
}

act act_named(std::string_view name, std::uint64_t dice) {
    const auto found = std::ranges::find(kinds, name, &kind::name);
    return {static_cast<std::size_t>(found - kinds.begin()), dice, true};
}

std::size_t kinds_of_acts() {
    return static_cast<std::size_t>(
        std::ranges::count_if(kinds, [](const kind& k) { return k.weight > 0; }));
}

act random_act(std::mt19937_64& dice) {
    static const unsigned sum = [] {
        unsigned all = 0;
        for (const kind& k : kinds) {
            all += k.weight;
        }
        return all;
    }();
    auto left = static_cast<unsigned>(dice() % sum);
    act chosen;
    while (left >= kinds.at(chosen.kind).weight) {
        left -= kinds.at(chosen.kind).weight;
        ++chosen.kind;
    }
    chosen.dice = dice() >> 8;
    chosen.alone = dice() % 8 == 0;
    return chosen;
}

verdict_on_acts run_acts(runtime::backend backend, world& where, const std::vector<act>& acts) {
    verdict_on_acts out;
    out.seen.resize(kinds.size());
    auto home = runtime::make_loop({.kind = backend}).value();
    stage& on = stage_of(where);
    auto one = std::make_unique<performer>(*home, on, out);
    boost::asio::co_spawn(*home, one->run(acts), [&](const std::exception_ptr& thrown) {
        if (thrown) {
            out.trouble = "the sequence was ended by: " + text_of(thrown);
        }
        home->stop();
    });
    home->run();
    return out;
}

}  // namespace insula::pg::test_support
