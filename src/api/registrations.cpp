#include "authenticate.hpp"
#include "handlers.hpp"
#include "idempotency.hpp"
#include "schemas.hpp"

#include "insula/identity/tenant_life.hpp"

#include <algorithm>

namespace insula::api {
namespace {

constexpr std::int64_t wait_seconds_max = 30;
constexpr std::size_t registration_id_size = 22;  // 128 bits as base64url

/// A step that failed and is tried again says so: whoever waits shall know that it takes longer.
void write_steps(json_writer& out, const identity::registration_status& status) {
    out.key("steps").begin_array();
    for (const auto& step : status.steps) {
        const bool again = step.state == queue::step_state::running && step.name == status.retrying;
        out.begin_object()
            .member("name", step.name)
            .member("status", again ? "retrying" : queue::name(step.state))
            .member("attempts", step.attempts)
            .end_object();
    }
    out.end_array();
}

std::string to_json(const identity::registration_status& status, std::string_view id) {
    std::string text;
    json_writer out(text);
    out.begin_object().member("status", tenancy::name(status.status));
    out.key("tenant")
        .begin_object()
        .member("id", status.tenant)
        .member("slug", status.slug)
        .member("name", status.name)
        .end_object();
    write_steps(out, status);
    out.key("error");
    if (status.failure_code.empty()) {
        out.null();
    } else {
        out.begin_object()
            .member("code", status.failure_code)
            .member("detail", status.failure_detail + " To try again: POST " +
                                  registration_url(id) + "/retry.")
            .end_object();
    }
    out.end_object();
    return text;
}

bool looks_like_registration_id(std::string_view text) {
    return text.size() == registration_id_size && std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
           });
}

creation_answer to_answer(const identity::registration_form& form,
                          const identity::registered& made) {
    creation_answer first{
        .status = 202, .location = registration_url(made.registration_id.view()), .body = {}};
    json_writer out(first.body);
    out.begin_object()
        .member("registration_id", made.registration_id.view())
        .member("status_url", first.location);
    out.key("user")
        .begin_object()
        .member("id", made.user)
        .member("email", form.email)
        .member("full_name", form.full_name);
    out.key("created_at").raw(created_at_mark).end_object();
    out.key("tenant")
        .begin_object()
        .member("id", made.tenant)
        .member("slug", form.tenant_slug)
        .member("name", form.tenant_name)
        .member("status", "provisioning")
        .end_object();
    out.end_object();
    return first;
}

error no_such_registration() {
    return {errc::not_found, "There is no registration with this id."};
}

}  // namespace

std::string registration_url(std::string_view registration_id) {
    return "/api/v1/registrations/" + std::string(registration_id);
}

answer register_tenant(anonymous_context& c) {
    auto key = idempotency_of(c);
    if (!key) {
        co_return key.error();
    }
    auto form = body<identity::registration_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    const auto again = co_await repeated(c, *key);
    if (!again) {
        co_return again.error();
    }
    if (!*again) {
        if (auto rate = within_rate(c.app, "register", "account " + form->email.canonical());
            !rate) {
            co_return rate.error();
        }
    }
    identity::once_only<identity::registered> once;
    if (*key) {
        once = {&**key, [&form](const auto& made) { return to_answer(*form, made).stored(); }};
    }
    auto made =
        co_await identity::register_tenant(c.app.identity, *form, c.caller(), std::move(once));
    if (*key && (*key)->answered()) {
        co_return co_await give_again(c, **key);
    }
    if (!made) {
        co_return made.error();
    }
    co_return to_answer(*form, *made).at(made->created_at);
}

answer read_registration(anonymous_context& c) {
    if (auto known = only_parameters(c.request, {"wait"}); !known) {
        co_return known.error();
    }
    auto wait_until = runtime::deadline::after(std::chrono::seconds(0));
    if (const auto text = c.request.query.find("wait")) {
        const auto seconds = decode_integer_parameter(*text, "query/wait", 0, wait_seconds_max);
        if (!seconds) {
            co_return seconds.error();
        }
        wait_until = runtime::deadline::after(std::chrono::seconds(*seconds));
    }
    const auto id = c.request.params[0];
    if (!looks_like_registration_id(id)) {
        co_return no_such_registration();
    }
    const auto status =
        co_await identity::read_registration(c.app.identity, id, wait_until, c.request.deadline);
    if (!status) {
        co_return status.error();
    }
    co_return http::response::json(200, to_json(*status, id));
}

answer retry_registration(anonymous_context& c) {
    const auto id = c.request.params[0];
    if (!looks_like_registration_id(id)) {
        co_return no_such_registration();
    }
    const auto status = co_await identity::retry_registration(c.app.identity, id, c.caller());
    if (!status) {
        co_return status.error();
    }
    co_return http::response::json(202, to_json(*status, id)).set("Location", registration_url(id));
}

namespace schema {

boost::json::object registration_form() {
    return schema_of<identity::registration_form>();
}
boost::json::object registered() {
    return of(
        {{"registration_id", text()},
         {"status_url", text()},
         {"user",
          of({{"id", uuid()}, {"email", text()}, {"full_name", text()}, {"created_at", time()}})},
         {"tenant", of({{"id", uuid()},
                        {"slug", text()},
                        {"name", text()},
                        {"status", one_of({"provisioning"})}})}});
}
boost::json::object registration() {
    return of({{"status", one_of({"provisioning", "ready", "failed"})},
               {"tenant", of({{"id", uuid()}, {"slug", text()}, {"name", text()}})},
               {"steps", array_of(of({{"name", text()},
                                      {"status", one_of({"pending", "running", "retrying", "done",
                                                         "failed", "undone"})},
                                      {"attempts", integer()}}))},
               {"error", nullable(of({{"code", text()}, {"detail", text()}}))}});
}

}  // namespace schema

}  // namespace insula::api
