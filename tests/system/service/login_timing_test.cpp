// Seven ways of not getting in that must not be told apart: by what is answered, or by when.
#include "signed_in.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace insula::test {
namespace {

using clock = std::chrono::steady_clock;

// INSULA_TEST_TIMING_SAMPLES=1000 for the guarantee's own number.
std::size_t samples_of_each_kind() {
    const char* wanted = std::getenv("INSULA_TEST_TIMING_SAMPLES");
    return wanted != nullptr ? std::stoul(wanted) : 150;
}

struct kind {
    std::string name;
    json::object form;
    std::vector<double> took{};  ///< microseconds
};

/// The chance that one of `a` took longer than one of `b` (Mann and Whitney's U, as a share; ties
/// count half). 0.5 when time tells nothing, 1 or 0 when it tells everything. Only the order
/// counts, so a machine that stalls now and then moves it no more than any other sample does.
double share_longer(const std::vector<double>& a, const std::vector<double>& b) {
    auto sorted = b;
    std::ranges::sort(sorted);
    double above = 0;
    for (const double x : a) {
        const auto [low, high] = std::ranges::equal_range(sorted, x);
        above += static_cast<double>(low - sorted.begin()) + static_cast<double>(high - low) / 2;
    }
    return above / (static_cast<double>(a.size()) * static_cast<double>(b.size()));
}

double median(std::vector<double> values) {
    std::ranges::nth_element(values, values.begin() + static_cast<long>(values.size() / 2));
    return values[values.size() / 2];
}

class login_timing : public testing::Test {
protected:
    /// Logged in there, so that the password is hashed at that service's cost.
    static person make_person(const served& service, std::string_view stem) {
        const auto who = shared_deployment().make_person(stem);
        auto client = service.client();
        EXPECT_EQ(post_json(client, "/api/v1/auth/login",
                            {{"email", who.email}, {"password", good_password}})
                      .status,
                  200);
        return who;
    }
    static std::vector<kind> kinds(const served& service) {
        auto& where = shared_deployment();
        const auto member = make_person(service, "timing");
        const auto other = make_person(service, "timing-other");
        const auto inactive = make_person(service, "timing-inactive");
        where.database().query_admin("update control.account set active = false where id = $1",
                                     {inactive.user_id});
        const auto form = [](const person& who, std::string_view password, std::string_view slug) {
            return json::object{
                {"email", who.email}, {"password", password}, {"tenant_slug", slug}};
        };
        const auto anywhere = [](const person& who, std::string_view password) {
            return json::object{{"email", who.email}, {"password", password}};
        };
        const auto known = make_person(service, "timing-many");
        for (int i = 0; i < 11; ++i) {
            add_member(where, known, where.make_person("timing-one-of-many"), "member");
        }
        auto unknown = member;
        unknown.email = "timing-nobody@example.org";
        return {{"wrong password", form(member, "not the right password", member.slug)},
                {"unknown mail", form(unknown, good_password, member.slug)},
                {"inactive user", form(inactive, good_password, inactive.slug)},
                {"no membership", form(member, good_password, other.slug)},
                {"unknown tenant", form(member, good_password, "no-such-tenant-anywhere")},
                {"member of twelve", anywhere(known, "not the right password")},
                {"unknown, no slug", anywhere(unknown, good_password)}};
    }
};

TEST_F(login_timing, G15_time_and_answer_do_not_tell_why_somebody_does_not_get_in) {
    // A hash of some milliseconds: more than the noise of a busy machine, so that its absence
    // shows, and little enough that reading a row shows in a thousand samples.
    const served service(shared_deployment().variables_with({{"INSULA_PASSWORD_MEMORY", "4"}}));
    auto all = kinds(service);
    auto client = service.client();
    const auto ask = [&](const kind& one) {
        return post_json(client, "/api/v1/auth/login", one.form,
                         {{"X-Request-ID", std::string(fixed_request_id)}});
    };
    const auto same = comparable(ask(all.front()));
    for (const auto& one : all) {
        const auto answer = ask(one);
        EXPECT_TRUE(is_problem(answer, 401, "invalid_credentials"));
        EXPECT_EQ(comparable(answer), same) << one.name;
    }
    // In a new order each time: whatever the machine does meanwhile, it does to all kinds alike.
    std::mt19937 order(15);
    std::vector<std::size_t> turn(all.size());
    for (std::size_t i = 0; i < turn.size(); ++i) {
        turn[i] = i;
    }
    const auto samples = samples_of_each_kind();
    for (std::size_t round = 0; round < samples; ++round) {
        std::ranges::shuffle(turn, order);
        for (const auto i : turn) {
            const auto began = clock::now();
            const auto answer = ask(all[i]);
            all[i].took.push_back(
                std::chrono::duration<double, std::micro>(clock::now() - began).count());
            ASSERT_EQ(answer.status, 401) << answer.text();
        }
    }
    // Under equal times the share's standard deviation is sqrt((2n + 1) / 12n²): with 150 samples
    // 0.033, with 1,000 0.013. Five of them, for six comparisons on each run of each commit, and
    // 0.03 for a few microseconds of reading a row that is there. Without the dummy hash it is 1.
    const auto n = static_cast<double>(samples);
    const double bound = 5 * std::sqrt((2 * n + 1) / (12 * n * n)) + 0.03;
    for (const auto& one : all) {
        const double share = share_longer(one.took, all.front().took);
        RecordProperty(one.name, std::to_string(share));
        std::printf("%-16s median %.0f us, longer than %s: %.3f (0.5 +- %.3f)\n", one.name.c_str(),
                    median(one.took), all.front().name.c_str(), share, bound);
        EXPECT_NEAR(share, 0.5, bound) << one.name;
    }
}

}  // namespace
}  // namespace insula::test
