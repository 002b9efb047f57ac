#include "insula/identity/jobs.hpp"

namespace insula::identity {
namespace {

queue::enqueue_request about(tenant_id tenant, queue::enqueue_request request) {
    request.tenant = tenant;
    request.lock_key = "tenant:" + tenant.str();
    return request;
}

}  // namespace

queue::enqueue_request provision_request(const provision_input& input) {
    return about(input.tenant, queue::request_for<provision_job>(input));
}

queue::enqueue_request deletion_request(tenant_id tenant, std::chrono::seconds delay) {
    auto request = about(tenant, queue::request_for<deletion_job>({.tenant = tenant}));
    request.delay = delay;
    return request;
}

}  // namespace insula::identity
