// `insula tenant`: what operators do to tenants, from a shell of the machine.

#include "tenant_office.hpp"

#include "insula/api/tenant_record.hpp"

#include <fmt/format.h>

#include <memory>
#include <type_traits>

namespace insula::app::commands {
namespace {

using identity::tenant_record;
using tenancy::tenant_status;
using outcome = runtime::awaitable<int>;

/// One sentence, and the next step.
int complain_of(const error& e, const tenant_request& r) {
    const auto hint = r.tenant.empty() ? "" : " insula tenant show " + r.tenant + " says more.";
    switch (e.code()) {
        case errc::not_found:
            return complain("There is no tenant " + r.tenant + ": insula tenant list shows them.",
                            failed);
        case errc::conflict:
        case errc::not_failed:
        case errc::slug_taken:
        case errc::email_taken:
        case errc::tenant_pending_deletion:
            return complain(std::string(e.detail()) + hint, failed);
        default:
            return complain(sentence_of(e), failed);
    }
}

int show_result(const result<tenant_record>& tenant, const tenant_request& r) {
    if (!tenant) {
        return complain_of(tenant.error(), r);
    }
    if (r.json) {
        print_json(*tenant);
    } else {
        say(fmt::format("{} is {}{}.", tenant->slug, tenancy::name(tenant->status),
                        tenant->purge_at && tenant->status == tenant_status::pending_deletion
                            ? " and will be purged at " + rfc3339(*tenant->purge_at) +
                                  "; until then: insula tenant restore " + tenant->slug
                            : ""));
    }
    return done;
}

std::optional<tenant_status> parse_status(std::string_view text) {
    for (int i = 0; i <= static_cast<int>(tenant_status::gone); ++i) {
        if (tenancy::name(static_cast<tenant_status>(i)) == text) {
            return static_cast<tenant_status>(i);
        }
    }
    return std::nullopt;
}

void print_list(const std::vector<tenant_record>& tenants, bool json) {
    if (json) {
        std::string text;
        json_writer out(text);
        out.begin_array();
        for (const auto& tenant : tenants) {
            api::write_tenant_record(out, tenant);
        }
        out.end_array();
        say(text);
        return;
    }
    say(fmt::format("{:<30} {:<17} {:<28} {:<37} {}", "SLUG", "STATUS", "MADE", "ID", "NAME"));
    for (const auto& tenant : tenants) {
        say(fmt::format("{:<30} {:<17} {:<28} {:<37} {}", tenant.slug, tenancy::name(tenant.status),
                        rfc3339(tenant.created_at), tenant.id.str(), tenant.name));
    }
}

outcome list(tenant_desk& desk, const tenant_request& r) {
    identity::tenant_filter which;
    if (!r.status.empty()) {
        which.status = parse_status(r.status);
    }
    if (!r.search.empty()) {
        which.q = r.search;
    }
    which.limit = r.limit + 1;
    auto found = co_await identity::list_tenants(desk.office(), tenant_desk::by(), which,
                                                 tenant_desk::soon());
    if (!found) {
        co_return complain_of(found.error(), r);
    }
    const bool more = found->size() > static_cast<std::size_t>(r.limit);
    if (more) {
        found->pop_back();
    }
    print_list(*found, r.json);
    if (more) {
        tell(fmt::format("The newest {} only; --limit shows more, --status and --search choose.",
                         r.limit));
    }
    co_return done;
}

outcome show(tenant_desk& desk, const tenant_request& r) {
    const auto tenant = co_await desk.find(r.tenant);
    if (!tenant) {
        co_return complain_of(tenant.error(), r);
    }
    if (r.json) {
        print_json(*tenant);
        co_return done;
    }
    print_tenant(*tenant);
    if (const auto run = co_await desk.newest_run(tenant->id)) {
        print_run(*run);
    }
    co_return done;
}

using change = runtime::awaitable<result<tenant_record>> (*)(identity::tenant_office,
                                                             identity::actor, tenant_id,
                                                             identity::caller);

template <change What>
outcome apply(tenant_desk& desk, const tenant_request& r) {
    const auto tenant = co_await desk.find(r.tenant);
    if (!tenant) {
        co_return complain_of(tenant.error(), r);
    }
    const auto changed =
        co_await What(desk.office(), tenant_desk::by(), tenant->id, tenant_desk::from());
    co_return show_result(changed, r);
}

/// After the change: watches it, when asked to, and says how it ended.
outcome follow(tenant_desk& desk, const tenant_request& r, result<tenant_record> changed,
               tenant_status wanted) {
    if (!changed || !r.wait) {
        co_return show_result(changed, r);
    }
    tell(fmt::format("{} is {}", changed->slug, tenancy::name(changed->status)));
    const auto ended = co_await desk.watch(std::move(*changed));
    if (!ended) {
        co_return complain_of(ended.error(), r);
    }
    if (ended->status == wanted) {
        co_return show_result(ended, r);
    }
    if (r.json) {
        print_json(*ended);
    }
    co_return complain(
        fmt::format("{} is {}{}. insula tenant show {} says more.", ended->slug,
                    tenancy::name(ended->status),
                    ended->failure_detail.empty() ? "" : ": " + ended->failure_detail,
                    ended->status == tenant_status::gone ? ended->id.str() : ended->slug),
        failed);
}

outcome retry(tenant_desk& desk, const tenant_request& r) {
    const auto tenant = co_await desk.find(r.tenant);
    if (!tenant) {
        co_return complain_of(tenant.error(), r);
    }
    auto changed = co_await identity::retry_tenant(desk.office(), tenant_desk::by(), tenant->id,
                                                   tenant_desk::from());
    co_return co_await follow(desk, r, std::move(changed), tenant_status::ready);
}

outcome remove(tenant_desk& desk, const tenant_request& r) {
    const auto tenant = co_await desk.find(r.tenant);
    if (!tenant) {
        co_return complain_of(tenant.error(), r);
    }
    if (r.confirm != tenant->slug) {
        co_return complain("--confirm must repeat the tenant's slug, " + tenant->slug +
                               ": a deleted tenant can be restored only until it is purged.",
                           wrong_usage);
    }
    auto changed = co_await identity::delete_tenant(desk.office(), tenant_desk::by(), tenant->id,
                                                    r.immediately, tenant_desk::from());
    co_return co_await follow(desk, r, std::move(changed), tenant_status::gone);
}

int run(const tenant_request& r, outcome (*work)(tenant_desk&, const tenant_request&)) {
    return at_desk(r.flags, [&r, work](tenant_desk& desk) { return work(desk, r); });
}

/// One subcommand with what all of them have.
std::pair<CLI::App*, std::shared_ptr<tenant_request>> add(
    CLI::App& group, chosen_command& chosen, const std::string& name, const std::string& help,
    outcome (*work)(tenant_desk&, const tenant_request&), bool of_one = true) {
    auto* command = group.add_subcommand(name, help);
    auto request = std::make_shared<tenant_request>();
    if (of_one) {
        command->add_option("tenant", request->tenant, "its slug, or its id")->required();
    }
    command->add_flag("--json", request->json, "for scripts");
    request->flags.add_to(*command);
    command->callback(
        [&chosen, request, work] { chosen = [request, work] { return run(*request, work); }; });
    return {command, request};
}

}  // namespace

void add_tenant(CLI::App& program, chosen_command& chosen) {
    auto* group = program.add_subcommand("tenant", "Tenants, as a platform operator sees them");
    group->require_subcommand(1);
    {
        auto [command, r] = add(*group, chosen, "list", "All tenants, newest first", &list, false);
        command->add_option("--status", r->status, "only these")
            ->check(CLI::IsMember({"provisioning", "ready", "failed", "suspended",
                                   "pending_deletion", "deleting", "gone"}));
        command->add_option("--search", r->search, "a part of slug or name, or an id");
        command->add_option("--limit", r->limit, "at most so many")
            ->check(CLI::Range(1, 100'000))
            ->capture_default_str();
    }
    add(*group, chosen, "show", "One tenant, and its newest task", &show);
    {
        auto [command, r] = add(*group, chosen, "retry", "Sets a failed tenant up again", &retry);
        command->add_flag("--wait", r->wait,
                          "watch it, 10 minutes at most; Ctrl-C only stops that");
    }
    add(*group, chosen, "suspend", "Nobody can use it until it is resumed",
        &apply<&identity::suspend_tenant>);
    add(*group, chosen, "resume", "Ends a suspension", &apply<&identity::resume_tenant>);
    add(*group, chosen, "restore", "Takes a deletion back, until the tenant is purged",
        &apply<static_cast<change>(&identity::restore_tenant)>);
    {
        auto [command, r] =
            add(*group, chosen, "delete", "Purges it after INSULA_DELETION_GRACE", &remove);
        command->add_option("--confirm", r->confirm, "its slug again")->required();
        auto* now = command->add_flag("--immediately", r->immediately,
                                      "purge at once: it cannot be restored");
        command->add_flag("--wait", r->wait, "watch it, 10 minutes at most; Ctrl-C only stops that")
            ->needs(now);
    }
}

}  // namespace insula::app::commands
