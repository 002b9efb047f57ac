// What lies between a client and the service, at its worst; and bytes that are changed on their
// way to and from PostgreSQL.
#include "traffic.hpp"
#include "troubles.hpp"

#include <fmt/format.h>

#include <functional>

namespace insula::test {
namespace {

constexpr const char* projects_path = "/api/v1/projects";

struct bad_path {
    std::string name;
    fault what;
    bool answered = false;  ///< the client gets its answer all the same
};
void PrintTo(const bad_path& path, std::ostream* out) {
    *out << path.name;
}

class service_bad_path : public testing::TestWithParam<bad_path> {
protected:
    static int port_of(const std::string& address) {
        return std::atoi(address.substr(address.rfind(':') + 1).c_str());
    }
    double in_flight() {
        auto client = who_.service().client();
        return metric_sum(client, "insula_http_in_flight", "server=\"public\"");
    }

    patient& who_ = shared_patient();
    gate between_{endpoint{}, {.path = {}, .port = port_of(who_.service().address())}};
};

TEST_P(service_bad_path, G61_harms_its_own_client_only_and_leaves_nothing_behind) {
    const auto pid = who_.service().process().pid();
    const auto before = holdings_of(pid);
    std::size_t acted = 0;
    const auto& person = who_.people().front();
    const std::string long_text(900, 'x');
    for (int round = 0; round < 4; ++round) {
        between_.set(gate::mode::pass);
        http_client client(between_.address(), GetParam().answered ? 5000ms : 400ms);
        if (round % 2 == 1) {  // also in the middle of a connection's life
            EXPECT_EQ(get(client, projects_path, person.auth()).status, 200);
        }
        between_.set(GetParam().what);
        const auto name = who_.fresh_name();
        try {
            const auto made = post_json(
                client, projects_path, {{"name", name}, {"description", long_text}}, person.auth());
            EXPECT_TRUE(made.status == 201 || !GetParam().answered) << made.text();
            EXPECT_LT(made.status, GetParam().what.to_client.corrupt_every == 0 ? 500 : 1000)
                << made.text();
            acted += between_.deeds();
        } catch (const http_failure& failure) {
            EXPECT_FALSE(GetParam().answered) << failure.what();
            acted += between_.deeds();
        } catch (const std::exception&) {
            EXPECT_FALSE(GetParam().answered);  // bytes that are no HTTP
            acted += between_.deeds();
        }
        // Whatever this client got, the others are served.
        auto other = who_.service().client(2s);
        EXPECT_EQ(get(other, projects_path, person.auth()).status, 200);
        EXPECT_NE(who_.value("select count(*) from " + person.schema() +
                             ".projects where name = '" + name + "'"),
                  "2");
    }
    EXPECT_GT(acted, 0U) << "nothing was done to anybody";
    between_.set({.entry = fault::door::closes});
    wait_until("the connections to be gone", [&] { return between_.carried() == 0; });
    wait_until("the requests to be over", [&] { return in_flight() <= 1; });  // this one's own
    wait_until("the descriptors to be given back",
               [&] { return holdings_of(pid).descriptors <= before.descriptors + 2; });
    check_holdings(who_);
    (void)who_.use_everything(clock::now(), 10s);
}

INSTANTIATE_TEST_SUITE_P(
    with, service_bad_path,
    testing::Values(bad_path{"single_bytes", fault::both_ways({.slice = 1}), true},
                    bad_path{"delay", fault::both_ways({.delay = 40ms}), true},
                    bad_path{"little_room", fault::both_ways({.bytes_per_second = 20'000}), true},
                    bad_path{"lost_questions", {.to_server = {.hold = true}}},
                    bad_path{"lost_answers", {.to_client = {.hold = true}}},
                    bad_path{"reset_in_the_question", {.to_server = {.reset_after = 500}}},
                    bad_path{"reset_in_the_answer", {.to_client = {.reset_after = 100}}},
                    bad_path{"half_closed_question", {.to_server = {.half_close = true}}},
                    bad_path{"half_closed_answer", {.to_client = {.half_close = true}}},
                    bad_path{"changed_questions", {.to_server = {.corrupt_every = 150}}},
                    bad_path{"changed_answers", {.to_client = {.corrupt_every = 150}}}),
    [](const auto& info) { return info.param.name; });

// TLS would notice; without it every byte may be another. What was written then is not worth
// keeping, so it has a database of its own; and what a session was told is not, so the path is cut
// before it is whole again.
class service_changed_bytes : public testing::TestWithParam<std::size_t> {};

TEST_P(service_changed_bytes, G52_from_and_to_PostgreSQL_crash_nothing_and_show_nobody_elses_rows) {
    patient who;
    traffic clients(who);
    clients.expect_nonsense();
    wait_until("the clients to be busy", [&] { return clients.answers(200) > 20; });
    for (const bool down : {true, false}) {
        const flow changed{.corrupt_every = GetParam()};
        // Enough of them reach sessions that are past their beginning, and what these answer.
        const auto good = clients.answers(200);
        who.between().set(down ? fault{.to_client = changed} : fault{.to_server = changed});
        wait_until("bytes to be changed in sessions that serve", [&] {
            return clients.answers(200) >= good + 10 && who.between().deeds() >= 20;
        });
    }
    who.between().set({.entry = fault::door::closes});
    wait_until("the path to be cut", [&] { return who.between().carried() == 0; });
    who.between().set(gate::mode::pass);
    clients.stop();
    for (const auto& what : clients.odd()) {
        EXPECT_EQ(what.find("another tenant"), std::string::npos) << what;
    }
    EXPECT_TRUE(who.service().process().running()) << who.service().process().err();
    auto client = who.service().client(5s);
    wait_until("the service to serve", [&] {
        return is_done(get(client, projects_path, who.people().front().auth()), 200);
    });
}

INSTANTIATE_TEST_SUITE_P(one_in, service_changed_bytes, testing::Values(3000));

}  // namespace
}  // namespace insula::test
