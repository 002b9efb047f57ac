#include "isolation_probes.hpp"

#include <algorithm>
#include <atomic>

namespace insula::test {
namespace {

/// Of six digits, so that texts with it are of one length.
std::string fresh_number() {
    static std::atomic<int> count = 100'000;
    return std::to_string(++count);
}

std::string sample_of(const place& where) {
    static constexpr std::string_view mark = "{fresh}";
    auto text = where.sample;
    if (const auto at = text.find(mark); at != std::string::npos) {
        text.replace(at, mark.size(), fresh_number());
    }
    return text;
}

std::vector<caller> callers_of(const operation_of_document& operation) {
    using enum caller;
    if (!operation.token) {
        return {nobody, owner};
    }
    if (operation.operators) {
        return {member, admin, owner, assumed};
    }
    // What is a tenant's own is asked for by somebody of both tenants, too; what is a person's own
    // may be that person's in the other one.
    static constexpr std::string_view of_tenants[] = {"/api/v1/members", "/api/v1/invites",
                                                      "/api/v1/audit", "/api/v1/projects"};
    if (std::ranges::any_of(of_tenants,
                            [&](auto one) { return operation.path.starts_with(one); })) {
        return {member, both, admin, owner, assumed, operator_};
    }
    return {member, admin, owner, assumed, operator_};
}

/// Nobody's yet.
std::string free_value(const place& where) {
    const auto name = "free" + fresh_number();
    return where.names == thing::email ? name + "@example.org" : name;
}

}  // namespace

std::string probe::title() const {
    return operation.name + ", " + (where == nullptr ? "all places" : where->where) + ", by " +
           std::string(name_of(who));
}

std::string difference(const sent_probe& one, const sent_probe& other) {
    if (comparable(one.answer) == comparable(other.answer)) {
        return {};  // without a look at what may differ, which takes its time
    }
    const auto a = alike(one.answer, one.value);
    const auto b = alike(other.answer, other.value);
    return a == b ? "" : a + "\n\nand\n\n" + b;
}

void put_member(json::object& body, std::string_view where, const std::string& value, bool typed) {
    const auto slash = where.find('/');
    const auto name = where.substr(0, slash);
    if (slash == std::string_view::npos) {
        boost::system::error_code error;
        auto read = json::parse(value, error);
        const bool other = typed && !error && (read.is_number() || read.is_bool());
        body[name] = other ? read : json::value(value);
        return;
    }
    const auto rest = where.substr(slash + 1);
    auto& below = body[name];
    if (rest == "*" || rest.starts_with("*/")) {
        auto& items = below.is_array() ? below.as_array() : below.emplace_array();
        if (rest == "*") {
            items.emplace_back(value);
            return;
        }
        if (items.empty()) {
            items.emplace_back(json::object());
        }
        put_member(items.front().as_object(), rest.substr(2), value, typed);
        return;
    }
    put_member(below.is_object() ? below.as_object() : below.emplace_object(), rest, value, typed);
}

prober::prober(isolation_stage& stage)
    : stage_(stage),
      client_(stage.client()),
      operations_(operations_of(parse(get(client_, "/openapi.json")).as_object())) {
    for (const auto& operation : operations_) {
        add_probes(operation);
    }
    stage_.settle();
    of_a_ = stage_.a_rows->now();
    of_b_ = stage_.b_rows->now();
}

probe prober::with_own_values(const operation_of_document& operation) const {
    return {.operation = operation,
            .fitted = &fitting_of(operation.name),
            .where = nullptr,
            .who = operation.path.ends_with("/assume-identity/end") ? caller::assumed
                   : operation.token                                ? caller::owner
                                                                    : caller::nobody,
            .demanded = rule::alike,
            .own_only = true};
}

void prober::add_probes(const operation_of_document& operation) {
    const auto& fitted = fitting_of(operation.name);
    for (const auto who : callers_of(operation)) {
        // Without the header, which would decide before anything else is looked at.
        probe together{operation, &fitted, nullptr, who, rule::alike};
        int named = 0;
        for (const auto& where : fitted.places) {
            const bool header = where.where == "header/X-Tenant-Slug";
            if (where.names == thing::none || where.demanded == rule::by_acts) {
                continue;
            }
            if (header && operation.token && who != caller::owner && who != caller::member) {
                continue;  // it is compared in one place, for all of them
            }
            probes_.push_back({operation, &fitted, &where, who, where.demanded, where.leaves});
            if (!header) {
                ++named;
                together.leaves.insert(together.leaves.end(), where.leaves.begin(),
                                       where.leaves.end());
                together.demanded = std::max(together.demanded, where.demanded);
            }
        }
        if (named > 1) {
            probes_.push_back(std::move(together));
        }
    }
}

void prober::put(request& into, const place& where, const std::string& value) const {
    const auto slash = where.where.find('/');
    const auto in = where.where.substr(0, slash);
    const auto name = where.where.substr(slash + 1);
    if (in == "path") {
        const auto mark = "{" + name + "}";
        into.target.replace(into.target.find(mark), mark.size(), value);
    } else if (in == "query") {
        into.target +=
            (into.target.find('?') == std::string::npos ? "?" : "&") + name + "=" + value;
    } else if (in == "header") {
        into.fields.emplace_back(name, value);
    } else {
        put_member(into.body, name, value, where.names == thing::none);
    }
}

prober::request prober::filled(const probe& one, std::string three::* which) {
    request what{one.operation.path, {{"X-Request-ID", std::string(fixed_request_id)}}, {}, {}};
    const auto* tried = one.where;
    for (const auto& where : one.fitted->places) {
        const bool this_one =
            !one.own_only && (tried == &where || (tried == nullptr && where.names != thing::none &&
                                                  where.where != "header/X-Tenant-Slug"));
        if (where.demanded == rule::by_acts || (!this_one && !where.always)) {
            continue;
        }
        if (where.names == thing::none) {
            put(what, where, sample_of(where));
            continue;
        }
        const auto three_of_them = stage_.values(one.operation, where);
        const auto value = this_one     ? three_of_them.*which
                           : where.free ? free_value(where)
                                        : three_of_them.own;
        put(what, where, value);
        if (this_one) {
            what.value = value;
        }
    }
    return what;
}

http_answer prober::exchange(const probe& one, const request& what) {
    auto fields = what.fields;
    std::string body;
    if (!what.body.empty()) {
        fields.emplace_back("Content-Type", "application/json");
        body = json::serialize(what.body);
    }
    return client_.send(one.operation.method, what.target, fields, body);
}

prober::request prober::made(const probe& one, std::string three::* which) {
    auto what = filled(one, which);
    for (auto& field : stage_.credentials(one.who)) {
        what.fields.push_back(std::move(field));
    }
    return what;
}

sent_probe prober::send(const probe& one, std::string three::* which) {
    const auto what = made(one, which);
    sent_probe done{exchange(one, what), what.target + json::serialize(what.body), what.value};
    for (const auto& field : what.fields) {
        done.sent += field.second;
    }
    return done;
}

std::string prober::bytes_of(const probe& one, const request& what, std::string_view host) const {
    std::string bytes = one.operation.method + " " + what.target + " HTTP/1.1\r\nHost: ";
    bytes.append(host).append("\r\n");
    for (const auto& [name, value] : what.fields) {
        bytes.append(name).append(": ").append(value).append("\r\n");
    }
    const auto body = what.body.empty() ? std::string() : json::serialize(what.body);
    if (!body.empty()) {
        bytes.append("Content-Type: application/json\r\n");
    }
    if (one.operation.method != "GET") {
        bytes.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
    }
    return bytes.append("\r\n").append(body);
}

http_answer prober::exchange_bytes(std::string_view bytes) {
    client_.write(bytes);
    return client_.read_answer();
}

http_answer prober::send_as_b(const probe& one) {
    probe everywhere = one;
    everywhere.where = nullptr;
    auto what = filled(one.where == nullptr ? everywhere : one, &three::foreign);
    if (one.where != nullptr && !one.where->where.starts_with("path/")) {
        // Its own path, too.
        request whole{one.operation.path, what.fields, {}, {}};
        for (const auto& where : one.fitted->places) {
            if (where.where.starts_with("path/")) {
                put(whole, where,
                    where.names == thing::none ? sample_of(where)
                                               : stage_.values(one.operation, where).foreign);
            }
        }
        const auto query = what.target.find('?');
        whole.target += query == std::string::npos ? "" : what.target.substr(query);
        what.target = whole.target;
    }
    for (auto& field : stage_.b_credentials()) {
        what.fields.push_back(std::move(field));
    }
    return exchange(one, what);
}

void prober::expect_unchanged(const probe& one, int status) {
    if (std::ranges::find(one.leaves, "queue.") != one.leaves.end()) {
        stage_.settle();
    }
    auto b = stage_.b_rows->now();
    EXPECT_EQ(rows_about::difference(of_b_, b, one.leaves), "") << "of B, by " << one.title();
    of_b_ = std::move(b);
    auto a = stage_.a_rows->now();
    if (status >= 400) {
        EXPECT_EQ(rows_about::difference(of_a_, a, one.leaves), "") << "of A, by " << one.title();
    }
    of_a_ = std::move(a);
}

}  // namespace insula::test
