#include "outage.hpp"

#include "support/sanitizers.hpp"

#include <fmt/format.h>

#include <cstdlib>

namespace insula::test {
namespace {

/// What a busy machine may add to what is measured.
constexpr auto noise = 500ms;
/// A process that connected all at once, or again and again, would make more attempts a second.
constexpr std::size_t herd = 2 * patient::connections;
constexpr auto in_vain = 20s;

/// A thread's worth of descriptors, and what a busy heap keeps; for all troubles together.
constexpr std::size_t slack_descriptors = 8;
constexpr std::size_t slack_kb = 24 * 1024 * sanitizers_factor;

std::size_t own_descriptors(patient& who) {
    const auto all = holdings_of(who.service().process().pid()).descriptors;
    const auto carried = static_cast<std::size_t>(who.between().carried());
    return all - std::min(all, carried);
}

/// After everything was used once by many: what comes later needs no more.
const holdings& baseline(patient& who) {
    static const holdings first = [&who] {
        traffic clients(who);
        wait_until("the clients to be busy", [&] { return clients.answers(200) > 300; });
        clients.stop();
        (void)who.use_everything(clock::now(), 20s);
        auto now = holdings_of(who.service().process().pid());
        now.descriptors = own_descriptors(who);
        return now;
    }();
    return first;
}

std::chrono::milliseconds longer() {
    const char* asked = std::getenv("INSULA_TEST_FAULT_SECONDS");
    return asked == nullptr ? 0s : std::chrono::seconds(std::strtol(asked, nullptr, 10));
}

std::string text_of(const spans& all) {
    std::string text;
    for (const auto& [kind, took] : all) {
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", kind, took.count());
    }
    return text;
}

}  // namespace

void check_holdings(patient& who) {
    const auto first = baseline(who);
    ASSERT_TRUE(who.service().process().running()) << who.service().process().err();
    // What is open to PostgreSQL is counted by the gate; clients go when they like.
    wait_until("the descriptors to be given back",
               [&] { return own_descriptors(who) <= first.descriptors + slack_descriptors; });
    EXPECT_LE(holdings_of(who.service().process().pid()).resident_kb, first.resident_kb + slack_kb);
}

outage::outage(patient& who, trouble what) : who_(who), what_(std::move(what)) {}

bool outage::is_noticed() const {
    switch (what_.seen_by) {
        case sign::gate:
            return who_.between().deeds() > 0;
        case sign::lost:
            return who_.metric_of("insula_pg_connections_lost_total") > lost_before_;
        case sign::lock:
            return who_.value(
                       "select exists (select from pg_stat_activity where"
                       " application_name like 'insula %' and wait_event_type = 'Lock')") == "t";
        case sign::none:
            break;
    }
    return true;
}

double outage::connected() const {
    return who_.metric_of("insula_pg_connects_total") +
           who_.metric_of("insula_pg_connect_failures_total");
}

void outage::have_it() {
    lost_before_ = who_.metric_of("insula_pg_connections_lost_total");
    connected_before_ = connected();
    began_ = clock::now();
    what_.begin(who_);
    std::this_thread::sleep_for(what_.lasts + longer());  // that long it lasts
    try {
        wait_until(what_.name + " to be noticed", [&] { return is_noticed(); }, 10s);
    } catch (const std::exception& thrown) {
        ADD_FAILURE() << thrown.what();
    }
    what_.end(who_);
    over_ = clock::now();
}

void outage::under_load() {
    if (const auto why = what_.impossible(who_); !why.empty()) {
        GTEST_SKIP() << why;
    }
    (void)baseline(who_);
    traffic clients(who_);
    wait_until("the clients to be busy", [&] { return clients.answers(200) > 20; });
    have_it();
    check_that_it_restores();
    clients.stop();
    EXPECT_THAT(clients.odd(), testing::IsEmpty());
    EXPECT_LE(clients.longest(), patient::request_timeout + noise)
        << clients.slowest() << who_.what_it_is_at();
    // A shorter one may pass while the requests are tried again: nobody need notice.
    if (what_.total && what_.lasts > patient::request_timeout) {
        EXPECT_GT(clients.answers(503), 0U) << "nobody noticed";
    }
    clients.expect_nothing_lost_or_doubled();
    check_holdings(who_);
    tell("load", &clients);
}

void outage::while_idle() {
    if (const auto why = what_.impossible(who_); !why.empty()) {
        GTEST_SKIP() << why;
    }
    (void)baseline(who_);
    have_it();
    check_that_it_restores();
    check_holdings(who_);
    tell("idle", nullptr);
}

void outage::check_that_it_restores() {
    try {
        back_ = who_.use_everything(over_, in_vain);
    } catch (const std::exception& thrown) {
        FAIL() << thrown.what() << "\n" << who_.what_it_is_at();
    }
    for (const auto& [kind, took] : back_) {
        const auto more = kind == "registration" ? what_.allowance : 0ms;
        EXPECT_LE(took, 1s + more + who_.healthy().at(kind) + noise)
            << kind << " came back so late";
    }
    check_the_herd();
}

void outage::check_the_herd() const {
    EXPECT_LE(who_.between().most_attempts_a_second(began_), herd);
    EXPECT_LE(who_.between().carried(), static_cast<int>(patient::connections));
    // Nobody counts at the gate while nobody listens there; the service itself does.
    const std::chrono::duration<double> time = clock::now() - began_;
    EXPECT_LE(connected() - connected_before_, static_cast<double>(herd) * (time.count() + 1))
        << "within " << time.count() << " s";
}

void outage::tell(const char* state, const traffic* clients) const {
    const auto now = holdings_of(who_.service().process().pid());
    fmt::print("{} {}: ms after its end: {}; at most {} attempts a second; {} kB, {} descriptors\n",
               what_.name, state, text_of(back_), who_.between().most_attempts_a_second(began_),
               now.resident_kb, now.descriptors);
    if (clients != nullptr) {
        fmt::print("    answers: {} good, {} created, {} unavailable; the slowest in {} ms\n",
                   clients->answers(200), clients->answers(201) + clients->answers(202),
                   clients->answers(503), clients->longest().count());
    }
}

}  // namespace insula::test
