#pragma once
// One function per workflow file; registry.cpp calls them.
#include "insula/workflows/workflows.hpp"

namespace insula::workflows {

void add_provisioning(queue::registry& to, const services& with);
void add_deletion(queue::registry& to, const services& with);
void add_unverified_purge(queue::registry& to, const services& with);
void add_clean_up(queue::registry& to, const services& with);
void add_mail_delivery(queue::registry& to, const services& with);
void add_forgot_password(queue::registry& to, const services& with);
void add_resend_verification(queue::registry& to, const services& with);

}  // namespace insula::workflows
