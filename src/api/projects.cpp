#include "cursor.hpp"
#include "etag.hpp"
#include "handlers.hpp"
#include "idempotency.hpp"
#include "schemas.hpp"

#include "insula/audit/audit.hpp"

namespace insula::api {
namespace {

struct project_form {
    project_name name;
    patch_field<insula::description> description;  // null and absent are the same here
};
BOOST_DESCRIBE_STRUCT(project_form, (), (name, description))

struct project_patch {
    std::optional<project_name> name;
    patch_field<insula::description> description;
};
BOOST_DESCRIBE_STRUCT(project_patch, (), (name, description))

#define PROJECT_COLUMNS "id, name, description, version, created_at, updated_at"
// Parameters 1 to 6 are those of audited(): audit id, user, operator, ip, request id, changes.
#define PROJECT_AUDIT(action) \
    INSULA_AUDIT_ADD("$1", action, "project", "id::text", "$6::jsonb", "$2", "$3", "$4", "$5")

constexpr pg::statement first_page{"projects.first_page",
                                   "select " PROJECT_COLUMNS
                                   " from {t}.projects order by created_at desc, id desc limit $1"};
constexpr pg::statement next_page{"projects.next_page",
                                  "select " PROJECT_COLUMNS
                                  " from {t}.projects where (created_at, id) < ($2, $3)"
                                  " order by created_at desc, id desc limit $1"};
constexpr pg::statement read_one{"projects.read",
                                 "select " PROJECT_COLUMNS " from {t}.projects where id = $1"};
constexpr pg::statement exists{"projects.exists", "select 1 from {t}.projects where id = $1"};
// The change and its audit row are one statement: the select list runs once for each row that was
// changed.
constexpr pg::statement create{"projects.create",
                               "with changed as (insert into {t}.projects (id, name, description)"
                               " values ($7, $8, $9) returning " PROJECT_COLUMNS
                               ")"
                               " select " PROJECT_COLUMNS
                               ", " PROJECT_AUDIT("project.create") " from changed"};
constexpr pg::statement update{
    "projects.update",
    "with changed as (update {t}.projects set name = coalesce($8, name),"
    " description = case when $9 then $10 else description end, version = version + 1, updated_at "
    "= now()"
    " where id = $7 and ($11::integer[] is null or version = any ($11)) returning " PROJECT_COLUMNS
    ")"
    " select " PROJECT_COLUMNS ", " PROJECT_AUDIT("project.update") " from changed"};
constexpr pg::statement remove{
    "projects.delete",
    "with changed as (delete from {t}.projects"
    " where id = $7 and ($8::integer[] is null or version = any ($8)) returning id)"
    " select id, " PROJECT_AUDIT("project.delete") " from changed"};

/// Adds a statement whose first six parameters are its audit row's; the row's id, by which the
/// change is found again when the answer to its COMMIT is lost.
template <class... Params>
audit_id add_audited(tenancy::tenant_unit& work, const tenancy::tenant_scope& scope,
                     const pg::statement& what, const std::optional<std::string>& changes,
                     const Params&... params) {
    const auto audited = audit_id::make();
    work.add(what, audited, scope.user(), scope.operator_user(), scope.client(), scope.request_id(),
             changes, params...);
    return audited;
}

/// Room for most of them at once; a longer one grows the text.
constexpr std::size_t project_bytes_usual = 320;

void write_project(json_writer& out, const pg::row& row) {
    out.begin_object()
        .member("id", row.get<project_id>(0))
        .member("name", row.get<std::string_view>(1))
        .member("description", row.get<std::optional<std::string_view>>(2))
        .member("created_at", row.get<timestamp>(4))
        .member("updated_at", row.get<timestamp>(5))
        .end_object();
}

http::response answer_project(unsigned status, const pg::row& row) {
    std::string text;
    text.reserve(project_bytes_usual);
    json_writer out(text);
    write_project(out, row);
    return http::response::json(status, std::move(text))
        .set("ETag", etag(row.get<std::int32_t>(3)));
}

creation_answer answer_created(project_id id, const project_form& form) {
    creation_answer first{
        .status = 201, .location = "/api/v1/projects/" + id.str(), .etag = etag(1), .body = {}};
    json_writer out(first.body);
    out.begin_object()
        .member("id", id)
        .member("name", form.name)
        .member("description", form.description.as_optional());
    out.key("created_at").raw(created_at_mark).key("updated_at").raw(created_at_mark);
    out.end_object();
    return first;
}

error not_found() {
    return {errc::not_found, "There is no project with this id in your tenant."};
}

error explain(const pg::pg_error& failure) {
    if (failure.violates("projects_name_taken")) {
        return {errc::name_taken, "A project of this tenant has this name already."};
    }
    return tenancy::to_error(failure);
}

std::string describe_change(const std::optional<project_name>& name,
                            const patch_field<insula::description>& description) {
    std::string text;
    json_writer out(text);
    out.begin_object();
    if (name) {
        out.member("name", *name);
    }
    if (!description.absent()) {
        out.member("description", description.as_optional());
    }
    out.end_object();
    return text;
}

std::optional<std::vector<std::int32_t>> versions_of(const std::optional<if_match>& condition) {
    return condition && !condition->any ? std::optional(condition->versions) : std::nullopt;
}

/// Nothing was changed: because it is not there, or because it has another version.
error why_unchanged(const pg::result_set& there) {
    return there.empty()
               ? not_found()
               : error(errc::precondition_failed, "The project has changed since; read it again.");
}

}  // namespace

answer list_projects(member_context& c) {
    if (auto known = only_parameters(c.request, {"limit", "cursor"}); !known) {
        co_return known.error();
    }
    const auto limit = limit_parameter(c.request);
    if (!limit) {
        co_return limit.error();
    }
    const cursor_codec cursors(c.app.identity.keys, "projects", c.scope.tenant());
    const auto after = cursors.read(c.request);
    if (!after) {
        co_return after.error();
    }
    auto work = c.scope.read();
    const auto rows_max = std::int64_t{*limit} + 1;  // one more tells whether there is a next page
    if (*after) {
        work.add(next_page, rows_max, (*after)->created_at, (*after)->id);
    } else {
        work.add(first_page, rows_max);
    }
    const auto answered = co_await c.scope.run(std::move(work));
    if (!answered) {
        co_return explain(answered.error());
    }
    const auto& rows = answered->front();
    const int shown = std::min(rows.size(), *limit);
    std::string text;
    text.reserve(project_bytes_usual * (static_cast<std::size_t>(shown) + 1));
    json_writer out(text);
    out.begin_object().key("items").begin_array();
    for (int i = 0; i < shown; ++i) {
        write_project(out, rows[i]);
    }
    out.end_array().key("next_cursor");
    if (rows.size() > shown) {
        const auto last = rows[shown - 1];
        out.value(cursors.write({last.get<timestamp>(4), last.get<uuid>(0)}));
    } else {
        out.null();
    }
    out.end_object();
    co_return http::response::json(200, std::move(text));
}

answer create_project(member_context& c) {
    auto key = idempotency_of(c);
    if (!key) {
        co_return key.error();
    }
    auto form = body<project_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    const auto id = project_id::make();
    const auto first = answer_created(id, *form);
    auto work = c.scope.write();
    if (*key) {
        (*key)->add_to(work, first.stored());
    }
    const auto audited =
        add_audited(work, c.scope, create, describe_change(form->name, form->description), id,
                    form->name, form->description.as_optional());
    const auto done = co_await c.scope.run(std::move(work), c.scope.witness(audited));
    if (!done) {
        const auto kept = *key ? (*key)->explain(done.error()) : std::nullopt;
        if (*key && (*key)->answered()) {
            co_return co_await give_again(c, **key);
        }
        co_return kept ? *kept : explain(done.error());
    }
    // Both are the time of the transaction.
    const auto row = done->answers.back().only();
    co_return first.at(row.get<timestamp>(done->looked_up ? 0 : 4));
}

answer read_project(member_context& c) {
    const auto id = project_id::parse(c.request.params[0]);
    if (!id) {
        co_return not_found();
    }
    auto work = c.scope.read();
    work.add(read_one, *id);
    const auto answered = co_await c.scope.run(std::move(work));
    if (!answered) {
        co_return explain(answered.error());
    }
    if (answered->front().empty()) {
        co_return not_found();
    }
    const auto row = answered->front().front();
    if (not_modified(c.request, row.get<std::int32_t>(3))) {
        co_return http::response(304, {}, {}).set("ETag", etag(row.get<std::int32_t>(3)));
    }
    co_return answer_project(200, row);
}

answer change_project(member_context& c) {
    auto patch = body<project_patch>(c.request);
    if (!patch) {
        co_return patch.error();
    }
    const auto condition = read_if_match(c.request);
    if (!condition) {
        co_return condition.error();
    }
    if (!patch->name && patch->description.absent()) {
        co_return error::validation("", "empty_change",
                                    "give at least one member to change: name, description");
    }
    const auto id = project_id::parse(c.request.params[0]);
    if (!id) {
        co_return not_found();
    }
    auto work = c.scope.write();
    const auto audited = add_audited(
        work, c.scope, update, describe_change(patch->name, patch->description), *id, patch->name,
        !patch->description.absent(), patch->description.as_optional(), versions_of(*condition));
    work.add(exists, *id);
    auto witness = c.scope.witness(audited);
    witness.add(read_one, *id);
    const auto done = co_await c.scope.run(std::move(work), std::move(witness));
    if (!done) {
        co_return explain(done.error());
    }
    if (done->looked_up) {
        // It was changed; what is shown is the project as it is now, with its version of now.
        const auto& now = done->answers[1];
        if (now.empty()) {
            co_return not_found();  // and deleted since, by somebody else
        }
        co_return answer_project(200, now.front());
    }
    if (done->answers[0].empty()) {
        co_return why_unchanged(done->answers[1]);
    }
    co_return answer_project(200, done->answers[0].front());
}

answer delete_project(member_context& c) {
    const auto condition = read_if_match(c.request);
    if (!condition) {
        co_return condition.error();
    }
    const auto id = project_id::parse(c.request.params[0]);
    if (!id) {
        co_return not_found();
    }
    auto work = c.scope.write();
    const auto audited =
        add_audited(work, c.scope, remove, std::nullopt, *id, versions_of(*condition));
    work.add(exists, *id);
    const auto done = co_await c.scope.run(std::move(work), c.scope.witness(audited));
    if (!done) {
        co_return explain(done.error());
    }
    if (!done->looked_up && done->answers[0].empty()) {
        co_return why_unchanged(done->answers[1]);
    }
    co_return http::response::no_content();
}

namespace schema {

boost::json::object project_form() {
    auto form = schema_of<api::project_form>();
    return form;
}
boost::json::object project_patch() {
    return schema_of<api::project_patch>();
}
boost::json::object project() {
    return of({{"id", uuid()},
               {"name", text()},
               {"description", nullable(text())},
               {"created_at", time()},
               {"updated_at", time()}});
}
boost::json::object project_page() {
    return page_of(project());
}

}  // namespace schema

}  // namespace insula::api
