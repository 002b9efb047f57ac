#include "outage.hpp"

#include <fmt/format.h>

#include <cstdlib>

namespace insula::test {
namespace {

/// What a busy machine may add to what is measured.
constexpr auto noise = 500ms;
/// A process that connected all at once, or again and again, would make more attempts a second.
constexpr std::size_t herd = 2 * patient::connections;
constexpr auto in_vain = 20s;

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

outage::outage(patient& who, trouble what) : who_(who), what_(std::move(what)) {}

void outage::have_it() {
    began_ = clock::now();
    what_.begin(who_);
    std::this_thread::sleep_for(what_.lasts + longer());  // that long it lasts
    what_.end(who_);
    over_ = clock::now();
}

void outage::under_load() {
    if (const auto why = what_.impossible(who_); !why.empty()) {
        GTEST_SKIP() << why;
    }
    traffic clients(who_);
    wait_until("the clients to be busy", [&] { return clients.answers(200) > 20; });
    before_ = holdings_of(who_.service().process().pid());
    have_it();
    check_that_it_restores();
    clients.stop();
    EXPECT_THAT(clients.odd(), testing::IsEmpty());
    EXPECT_LE(clients.longest(), patient::request_timeout + noise)
        << clients.slowest() << who_.what_it_is_at();
    if (what_.total) {
        EXPECT_GT(clients.answers(503), 0U) << "nobody noticed";
    }
    clients.expect_nothing_lost_or_doubled();
    check_holdings();
    tell("load", &clients);
}

void outage::while_idle() {
    if (const auto why = what_.impossible(who_); !why.empty()) {
        GTEST_SKIP() << why;
    }
    before_ = holdings_of(who_.service().process().pid());
    have_it();
    check_that_it_restores();
    check_holdings();
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
}

void outage::check_holdings() const {
    ASSERT_TRUE(who_.service().process().running()) << who_.service().process().err();
    const auto pid = who_.service().process().pid();
    // A pool keeps what was opened for the busiest moment for a minute; and its clients go when
    // they like.
    const auto most = before_.descriptors + patient::connections + 8;
    wait_until("the descriptors to be given back",
               [&] { return holdings_of(pid).descriptors <= most; });
    EXPECT_LE(holdings_of(pid).resident_kb, before_.resident_kb + 24 * 1024);
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
