// What would grow for ever: ended sessions, links in mails, answers kept for repeats, invitations,
// people whose registration came to nothing. In batches, each a transaction of its own, so that
// nobody waits for it. What may go, and when, is for the database's functions to say.

#include "clean_up.hpp"

#include "add.hpp"

#include "insula/queue/workflow.hpp"

#include <algorithm>

namespace insula::workflows {
namespace {

using queue::database_step;
using queue::step_result;

constexpr pg::statement sessions{"clean_up.sessions", "select control.clean_sessions($1)"};
constexpr pg::statement mail_tokens{"clean_up.mail_tokens", "select control.clean_mail_tokens($1)"};
constexpr pg::statement answers{"clean_up.answers", "select control.clean_idempotency_keys($1)"};
constexpr pg::statement registrations{"clean_up.registrations",
                                      "select control.clean_registrations($1)"};
constexpr pg::statement invites{"clean_up.invites", "select control.clean_invites($1)"};
constexpr pg::statement feed{"clean_up.feed", "select control.clean_feed($1)"};
constexpr pg::statement signing_keys{"clean_up.signing_keys", "select control.clean_keys($1)"};
constexpr pg::statement accounts{"clean_up.accounts", "select control.clean_accounts($1)"};

class clean_up : public clean_up_job {
public:
    template <const pg::statement& Remove>
    runtime::awaitable<step_result<>> remove(database_step& step, const input& in) const {
        const auto batch = std::clamp(in.batch, 1, 10'000);
        pg::unit work;
        work.add(Remove, batch);
        const auto removed = co_await step.exec(std::move(work));
        if (!removed) {
            co_return removed.error();
        }
        if (removed->front().scalar<std::int32_t>() >= batch) {
            step.again();
        }
        co_return step_result<>();
    }

    // Accounts last: by then less refers to them.
    static constexpr auto steps() {
        return queue::steps<clean_up>({
            {.name = "sessions", .run = &clean_up::remove<sessions>},
            {.name = "mail_tokens", .run = &clean_up::remove<mail_tokens>},
            {.name = "answers", .run = &clean_up::remove<answers>},
            {.name = "registrations", .run = &clean_up::remove<registrations>},
            {.name = "invites", .run = &clean_up::remove<invites>},
            {.name = "feed", .run = &clean_up::remove<feed>},
            {.name = "signing_keys", .run = &clean_up::remove<signing_keys>},
            {.name = "accounts", .run = &clean_up::remove<accounts>},
        });
    }
};

}  // namespace

void add_clean_up(queue::registry& to, const services&) {
    to.add(clean_up());
}

}  // namespace insula::workflows
