#include "add.hpp"

namespace insula::workflows {

queue::registry all(const services& with) {
    queue::registry known;
    add_provisioning(known, with);
    add_mail_delivery(known, with);
    add_resend_verification(known, with);
    return known;
}

}  // namespace insula::workflows
