// Somebody has forgotten the password of an address: is there an account to send a link to?

#include "add.hpp"

#include "insula/identity/jobs.hpp"
#include "insula/identity/mail_tokens.hpp"
#include "insula/queue/workflow.hpp"

namespace insula::workflows {
namespace {

using queue::database_step;
using queue::step_result;

// The row is locked: of two tasks for one address, the later one voids the token of the earlier.
constexpr pg::statement find_account{"forgot.find",
                                     "select id, email, email_canonical, full_name"
                                     " from control.account where email_canonical = $1"
                                     " and released_at is null and active for no key update"};

class forgot_password : public identity::forgot_job {
public:
    explicit forgot_password(const identity::secret_keys& keys) : keys_(&keys) {}

    runtime::awaitable<step_result<>> send(database_step& step, const input& in) const {
        pg::unit look;
        look.add(find_account, in.email_canonical);
        const auto found = co_await step.exec(std::move(look));
        if (!found) {
            co_return found.error();
        }
        if (!found->front().empty()) {
            const auto row = found->front().front();
            identity::add_reset_mail(step.deferred(), *keys_,
                                     {row.get<user_id>(0), row.get<std::string>(1),
                                      row.get<std::string>(2), row.get<std::string>(3)});
        }
        co_return step_result<>();
    }

    static constexpr auto steps() {
        return queue::steps<forgot_password>({{.name = "send", .run = &forgot_password::send}});
    }

private:
    const identity::secret_keys* keys_;
};

}  // namespace

void add_forgot_password(queue::registry& to, const services& with) {
    to.add(forgot_password(with.keys));
}

}  // namespace insula::workflows
