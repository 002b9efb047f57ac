#include "troubles.hpp"

namespace insula::test {
namespace {

/// Long enough for requests to run out of time meanwhile.
constexpr auto beyond_requests = 1600ms;
constexpr auto a_moment = 400ms;

trouble of_the_gate(std::string name, const fault& what, std::chrono::milliseconds lasts,
                    bool total) {
    return {
        .name = std::move(name),
        .begin = [what](patient& who) { who.between().set(what); },
        .end = [](patient& who) { who.between().set(gate::mode::pass); },
        .lasts = lasts,
        .total = total,
        .seen_by = sign::gate,
        // What only gets slower, or is cut in the middle and asked again, needs somebody's bytes.
        .for_nobody = total};
}

trouble of_both_ways(std::string name, const flow& what, std::chrono::milliseconds lasts,
                     bool total = false) {
    return of_the_gate(std::move(name), fault::both_ways(what), lasts, total);
}

}  // namespace

std::vector<trouble> network_troubles() {
    std::vector<trouble> all{
        of_the_gate("closed_at_once", {.entry = fault::door::closes}, beyond_requests, true),
        of_the_gate("nobody_listens", {.entry = fault::door::gone}, beyond_requests, true),
        of_both_ways("accepts_and_hangs", {.hold = true}, beyond_requests, true),
        of_the_gate("questions_are_lost", {.to_server = {.hold = true}}, beyond_requests, true),
        of_the_gate("answers_are_lost", {.to_client = {.hold = true}}, beyond_requests, true),
        of_the_gate("reset_in_a_result", {.to_client = {.reset_after = 300}}, a_moment, false),
        of_the_gate("reset_in_a_question", {.to_server = {.reset_after = 300}}, a_moment, false),
        of_both_ways("single_bytes", {.slice = 1}, a_moment),
        of_both_ways("slow_path", {.delay = 60ms}, 800ms),
        of_both_ways("narrow_path", {.bytes_per_second = 3000}, beyond_requests),
        of_the_gate("half_closed_to_the_server", {.to_server = {.half_close = true}}, a_moment,
                    true),
        of_the_gate("half_closed_to_the_service", {.to_client = {.half_close = true}}, a_moment,
                    true),
    };
    // As behind a firewall that was restarted: what was connected hears nothing any more.
    trouble stranded = of_both_ways("old_connections_hang", {.hold = true}, beyond_requests, true);
    // While nobody is there only the feed notices, when an answer is 2 seconds late; the engine
    // gives up what it asked before that after 5.
    stranded.allowance = 5s;
    stranded.end = [](patient& who) { who.between().strand(); };
    all.push_back(stranded);
    return all;
}

}  // namespace insula::test
