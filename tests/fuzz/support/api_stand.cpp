#include "support/api_stand.hpp"

#include "api/authenticate.hpp"
#include "http/target.hpp"
#include "support/fuzz.hpp"

#include "insula/http/problem.hpp"
#include "insula/mail/transport.hpp"
#include "insula/workflows/workflows.hpp"

#include <boost/asio/co_spawn.hpp>

#include <future>
#include <thread>

namespace insula::api {

/// Instead of src/api/authenticate.cpp, which the linker then leaves in its library.
runtime::awaitable<result<user_context>> authenticate(services& with, http::request& r, bool) {
    const auto field = r.header("Authorization");
    if (!field) {
        co_return error(errc::unauthenticated);
    }
    const auto word = field->substr(std::min(field->find(' '), field->size() - 1) + 1);
    static const auto tenant = std::make_shared<const tenancy::tenant_entry>(
        tenancy::tenant_entry{tenant_id::make(), 0, "acme"});
    user_context context{{with, r}, {}, tenant};
    context.who.subject = user_id::make();
    context.who.session = session_id::make();
    context.who.tenant = tenant->id;
    if (word == "operator") {
        context.who.tenant.reset();
        context.tenant.reset();
    } else if (word == "assumed") {
        context.who.role = token::role::owner;
        context.who.actor = user_id::make();
    } else if (const auto role = token::parse_role(word)) {
        context.who.role = *role;
    } else {
        co_return error(errc::invalid_token);
    }
    co_return context;
}

result<> within_rate(services&, std::string_view, std::string_view) {
    return {};
}

}  // namespace insula::api

namespace insula::fuzz {
namespace {

class no_mail final : public mail::transport {
public:
    using transport::transport;

private:
    runtime::awaitable<mail::delivery> deliver(mail::message, runtime::deadline) override {
        co_return mail::delivery{};
    }
};

pg::pool_options nowhere(std::string name) {
    pg::pool_options options;
    options.name = std::move(name);
    options.conninfo = "host=/nonexistent user=nobody";
    return options;
}

std::shared_ptr<const token::key_set> one_key() {
    std::vector<token::key_entry> entries;
    entries.push_back({token::key::generate(token::algorithm::es256)});
    return token::key_set::make(std::move(entries)).value();
}

std::unique_ptr<runtime::loop> make_loop() {
    return runtime::make_loop({.kind = runtime::backend::epoll}).value();
}

}  // namespace

struct api_stand::parts {
    std::unique_ptr<runtime::loop> home = make_loop();
    observe::metrics metrics;
    runtime::cpu_pool hashing{1, 64};
    pg::connection_budget budget{8};
    pg::pool control{*home, nowhere("app"), budget, metrics};
    pg::pool worker{*home, nowhere("worker"), budget, metrics};
    pg::pool cell{*home, nowhere("cell_0"), budget, metrics};
    tenancy::cells cells{{&cell}};
    secret_bytes key{32};
    identity::secret_keys keys{key};
    identity::password_hasher hasher{{.passes = 1, .memory_bytes = 8192}};
    no_mail mail{metrics};
    mail::templates templates{""};
    workflows::services workflow_services{keys,
                                          mail,
                                          templates,
                                          "https://insula.example",
                                          mail::mailbox::parse("insula@example.com").value(),
                                          {}};
    queue::registry registry = workflows::all(workflow_services);
    queue::engine engine{*home, worker, budget, registry, {}, metrics};
    tenancy::directory directory{control};
    tenancy::revocations revoked{*home, {.conninfo = "host=/nonexistent"}, budget, metrics};
    identity::context identity{.control = control,
                               .hashing = hashing,
                               .hasher = hasher,
                               .tasks = engine,
                               .tenants = directory,
                               .revoked = revoked,
                               .keys = keys,
                               .clock = system_clock_source()};
    runtime::loop* loops[1] = {home.get()};
    identity::token_service tokens{loops, {"https://insula.example", "insula"}, one_key()};
    api::services services{.identity = identity,
                           .tokens = tokens,
                           .cells = cells,
                           .metrics = metrics,
                           .public_url = "https://insula.example",
                           .mail_pages = true,
                           .version = "0",
                           .readiness = &ready};
    std::thread thread{[this] { home->run(); }};

    static runtime::awaitable<std::vector<std::string>> ready(runtime::deadline) {
        co_return std::vector<std::string>();
    }
    ~parts() {
        home->stop();
        thread.join();
    }
};

api_stand::api_stand()
    : parts_(std::make_unique<parts>()), service_(api::make_service(parts_->services)) {}

api_stand& api_stand::get() {
    static api_stand one;
    return one;
}

runtime::loop& api_stand::loop() {
    return *parts_->home;
}

request_text::request_text(std::string_view input) {
    auto line = take_until(input, '\n');
    method = take_until(line, ' ');
    target = line;
    while (!input.empty()) {
        line = take_until(input, '\n');
        if (line.empty()) {
            break;
        }
        const auto name = take_until(line, ':');
        while (line.starts_with(' ')) {
            line.remove_prefix(1);
        }
        fields.push_back({name, line});
    }
    body = input;
}

std::string request_text::head() const {
    std::string text = std::string(method) + " " + std::string(target) + "\n";
    for (const auto& [name, value] : fields) {
        text += std::string(name) + ": " + std::string(value) + "\n";
    }
    return text + "\n";
}

namespace {

outcome of(const error& e, const http::route_info* route) {
    outcome out;
    out.route = route;
    out.code = e.code();
    out.status = http::kind_of(e.code()).status;
    out.fields.assign(e.fields().begin(), e.fields().end());
    out.body = e.detail();
    return out;
}

runtime::awaitable<outcome> serve_one(http::service& service, http::request& r,
                                      const http::route_info& route) {
    std::string thrown;
    try {
        auto answered = co_await service.serve(r, route);
        if (!answered) {
            co_return of(answered.error(), &route);
        }
        outcome out;
        out.route = &route;
        out.status = answered->status();
        out.body = answered->body();
        require(answered->fields().find('\0') == std::string_view::npos, "NUL in a field");
        co_return out;
    } catch (const infrastructure_error&) {
        thrown = "503";
    } catch (const std::exception& reason) {
        thrown = reason.what();
    }
    require(thrown == "503", "a handler threw: " + thrown);
    co_return of(error(errc::overloaded), &route);
}

}  // namespace

outcome api_stand::serve(const request_text& what, std::string_view body) {
    http::request r;
    r.method = http::parse_method(what.method);
    r.fields = what.fields;
    r.body = body;
    r.request_id = "fuzz";
    r.client = r.client_key = "127.0.0.1";
    r.target = what.target;
    r.deadline = runtime::deadline::after(std::chrono::seconds(0));
    std::string storage;
    const auto target = http::split(what.target, false);
    if (target.form != http::target_form::origin ||
        http::canonical_path(target.path, storage, r.path) != http::path_verdict::ok) {
        return of(error(errc::not_found), nullptr);
    }
    const auto match = service_->match(r.method, r.path);
    if (match.route == nullptr) {
        return of(error(errc::not_found), nullptr);
    }
    r.params = match.params;
    if (const auto parsed = r.query.parse(target.query); !parsed) {
        return of(parsed.error(), nullptr);
    }
    std::promise<outcome> promise;
    boost::asio::co_spawn(parts_->home->get_executor(), serve_one(*service_, r, *match.route),
                          [&promise](const std::exception_ptr& failure, outcome out) {
                              require(!failure, "an exception left a coroutine");
                              promise.set_value(std::move(out));
                          });
    return promise.get_future().get();
}

}  // namespace insula::fuzz
