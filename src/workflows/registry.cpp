#include "add.hpp"
#include "clean_up.hpp"
#include "unverified_purge.hpp"

#include <algorithm>

namespace insula::workflows {

queue::registry all(const services& with) {
    queue::registry known;
    add_provisioning(known, with);
    add_deletion(known, with);
    add_unverified_purge(known, with);
    add_clean_up(known, with);
    add_mail_delivery(known, with);
    add_resend_verification(known, with);
    add_forgot_password(known, with);
    return known;
}

std::vector<queue::recurring_task> recurring(const services& with) {
    std::vector<queue::recurring_task> tasks;
    tasks.push_back(queue::recurring<clean_up_job>(
        "clean-up", queue::schedule::every(std::chrono::hours(1)), {}));
    if (with.unverified_ttl) {
        // A short time to live is a test's or a demonstration's: looked at as often.
        const auto period = std::clamp<std::chrono::milliseconds>(
            *with.unverified_ttl, std::chrono::seconds(1), std::chrono::hours(1));
        tasks.push_back(queue::recurring<unverified_purge_job>(
            "unverified registrations", queue::schedule::every(period),
            {.ttl_seconds = with.unverified_ttl->count()}));
    }
    return tasks;
}

}  // namespace insula::workflows
