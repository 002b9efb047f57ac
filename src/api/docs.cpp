// The page /docs: OpenAPI for people. Plain HTML with its style inside: no script, nothing from
// elsewhere, and a policy that would not let either in.
#include "docs_style.hpp"
#include "openapi.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/crypto.hpp"

#include <boost/json.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <utility>

namespace insula::api {
namespace {

using boost::json::object;
using boost::json::value;

std::string_view view(const value& text) {
    return text.as_string();
}

std::string escaped(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            default:
                out += c;
        }
    }
    return out;
}

std::string upper(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(),
                           [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return out;
}

/// The last part of "#/components/schemas/Project".
std::string_view referred(const object& schema) {
    const auto* ref = schema.if_contains("$ref");
    return ref == nullptr ? "" : view(*ref).substr(view(*ref).rfind('/') + 1);
}

std::string joined(const boost::json::array& choices) {
    std::string out;
    for (const auto& one : choices) {
        out += fmt::format("{}<code>{}</code>", out.empty() ? "" : " ", escaped(view(one)));
    }
    return out;
}

std::string limits_of(const object& schema) {
    std::string out;
    const auto bound = [&](const char* name, std::string_view words) {
        if (const auto* limit = schema.if_contains(name)) {
            out += fmt::format(", {} {}", words, boost::json::serialize(*limit));
        }
    };
    bound("minLength", "at least");
    bound("maxLength", "at most");
    bound("minimum", "from");
    bound("maximum", "to");
    bound("default", "by default");
    if (schema.contains("minLength") || schema.contains("maxLength")) {
        out += " characters";
    }
    if (const auto* pattern = schema.if_contains("pattern")) {
        out += fmt::format(", like <code>{}</code>", escaped(view(*pattern)));
    }
    return out;
}

/// What a member is, on one line.
std::string kind_of_member(const object& schema) {
    if (const auto name = referred(schema); !name.empty()) {
        return fmt::format(R"(<a href="#{0}">{0}</a>)", name);
    }
    if (const auto* any = schema.if_contains("anyOf")) {
        std::string out;
        for (const auto& one : any->as_array()) {
            out += (out.empty() ? "" : " or ") + kind_of_member(one.as_object());
        }
        return out;
    }
    if (const auto* choices = schema.if_contains("enum")) {
        return joined(choices->as_array());
    }
    const auto* type = schema.if_contains("type");
    if (type == nullptr) {
        return "anything";
    }
    if (type->is_array()) {  // a type, or null
        std::string out;
        for (const auto& one : type->as_array()) {
            out += (out.empty() ? "" : " or ") + std::string(view(one));
        }
        return out + limits_of(schema);
    }
    if (view(*type) == "array") {
        return "list of " + kind_of_member(schema.at("items").as_object());
    }
    const auto* format = schema.if_contains("format");
    return std::string(format != nullptr ? view(*format) : view(*type)) + limits_of(schema);
}

bool is_required(const object& schema, std::string_view name) {
    const auto* required = schema.if_contains("required");
    return required != nullptr && std::ranges::any_of(required->as_array(), [&](const value& one) {
               return view(one) == name;
           });
}

/// The members of an object as a table; another schema as its one line.
std::string table_of(const object& schema) {
    const auto* properties = schema.if_contains("properties");
    if (properties == nullptr) {
        return "<p>" + kind_of_member(schema) + "</p>";
    }
    std::string rows;
    for (const auto& member : properties->as_object()) {
        const auto& about = member.value().as_object();
        const auto* words = about.if_contains("description");
        rows += fmt::format("<tr><th scope=row><code>{}</code></th><td>{}{}{}</td></tr>",
                            escaped(member.key()), kind_of_member(about),
                            is_required(schema, member.key()) ? "" : " <em>optional</em>",
                            words == nullptr ? "" : "<br>" + escaped(view(*words)));
    }
    return "<table>" + rows + "</table>";
}

const object& resolved(const object& document, const object& maybe) {
    const auto* ref = maybe.if_contains("$ref");
    if (ref == nullptr) {
        return maybe;  // NOLINT(bugprone-return-const-ref-from-parameter): a part of the document
    }
    const auto path = view(*ref).substr(std::string_view("#/components/").size());
    const auto slash = path.find('/');
    return document.at("components")
        .at(path.substr(0, slash))
        .at(path.substr(slash + 1))
        .as_object();
}

std::string parameters_of(const object& document, const object& operation) {
    const auto* all = operation.if_contains("parameters");
    if (all == nullptr) {
        return "";
    }
    std::string rows;
    for (const auto& one : all->as_array()) {
        const auto& about = resolved(document, one.as_object());
        const auto* words = about.if_contains("description");
        rows += fmt::format("<tr><th scope=row><code>{}</code> {}</th><td>{}{}</td></tr>",
                            escaped(view(about.at("name"))), view(about.at("in")),
                            kind_of_member(about.at("schema").as_object()),
                            words == nullptr ? "" : "<br>" + escaped(view(*words)));
    }
    return "<h4>Parameters</h4><table>" + rows + "</table>";
}

/// Of a problem the codes are what matters, of an answer its schema.
std::string body_of(const object& media) {
    const auto& schema = media.at("schema").as_object();
    if (const auto* both = schema.if_contains("allOf")) {
        return joined(both->as_array().back().at("properties").at("code").at("enum").as_array());
    }
    return kind_of_member(schema);
}

std::string answer_row(const object& document, std::string_view status, const value& answer) {
    const auto& about = resolved(document, answer.as_object());
    std::string body;
    if (const auto* content = about.if_contains("content")) {
        for (const auto& media : content->as_object()) {
            body += (body.empty() ? "" : " or ") + body_of(media.value().as_object());
        }
    }
    return fmt::format(R"(<tr><th scope=row><b class="s{}">{}</b></th><td>{}{}{}</td></tr>)",
                       status.front(), status, body, body.empty() ? "" : "<br>",
                       escaped(view(about.at("description"))));
}

using answers = std::set<std::pair<std::string, std::string>>;  // status, reference

/// What nearly every operation may answer is said once for all. Where one of them answers something
/// else under that status, it says so itself.
answers common_answers(const object& document) {
    std::map<std::pair<std::string, std::string>, std::size_t> counts;
    std::size_t operations = 0;
    for (const auto& path : document.at("paths").as_object()) {
        for (const auto& operation : path.value().as_object()) {
            ++operations;
            for (const auto& one : operation.value().at("responses").as_object()) {
                if (const auto* ref = one.value().as_object().if_contains("$ref")) {
                    ++counts[{std::string(one.key()), std::string(view(*ref))}];
                }
            }
        }
    }
    answers common;
    for (const auto& [answer, count] : counts) {
        if (count * 10 >= operations * 9) {
            common.insert(answer);
        }
    }
    return common;
}

std::string answers_of(const object& document, const answers& common, const object& operation) {
    std::string rows;
    for (const auto& one : operation.at("responses").as_object()) {
        const auto* ref = one.value().as_object().if_contains("$ref");
        if (ref == nullptr || !common.contains({std::string(one.key()), std::string(view(*ref))})) {
            rows += answer_row(document, one.key(), one.value());
        }
    }
    return "<h4>Answers</h4><table>" + rows + "</table>";
}

std::string common_of(const object& document, const answers& common) {
    std::string rows;
    for (const auto& [status, ref] : common) {
        rows += answer_row(document, status, object{{"$ref", ref}});
    }
    return "<details class=op><summary><span class=sum>What every operation may answer</span>"
           "</summary><div><table>" +
           rows + "</table></div></details>";
}

std::string who_may(const object& operation) {
    const auto& all = operation.at("security").as_array();
    if (all.empty()) {
        return "everybody";
    }
    const auto* bearer = all.back().as_object().if_contains("bearer");
    if (all.size() > 1) {
        return "everybody, or an access token";
    }
    const auto& roles = bearer->as_array();
    if (roles.empty()) {
        return "access token";
    }
    return view(roles.front()) == "member" ? "every member"
                                           : "at least " + std::string(view(roles.front()));
}

std::string request_of(const object& document, const object& operation) {
    const auto* request = operation.if_contains("requestBody");
    if (request == nullptr) {
        return "";
    }
    const auto& schema = request->at("content").at("application/json").at("schema").as_object();
    const auto name = referred(schema);
    return fmt::format("<h4>Body{}{}</h4>", name.empty() ? "" : ": ",
                       name.empty() ? "" : kind_of_member(schema)) +
           table_of(resolved(document, schema));
}

std::string section_of(const object& document, const answers& common, std::string_view path,
                       std::string_view method, const object& operation) {
    const auto may = who_may(operation);
    return fmt::format(
        R"(<details id="{id}" class=op><summary><span class="m {method}">{METHOD}</span> )"
        R"(<code class=path>{path}</code> <span class=sum>{summary}</span> )"
        R"(<span class=who>{may}</span></summary><div>{parameters}{request}{answers}</div></details>)",
        fmt::arg("id", view(operation.at("operationId"))), fmt::arg("method", method),
        fmt::arg("METHOD", upper(method)), fmt::arg("path", escaped(path)),
        fmt::arg("summary", escaped(view(operation.at("summary")))),
        fmt::arg("may", may == "at least operator" ? "operators" : may),
        fmt::arg("parameters", parameters_of(document, operation)),
        fmt::arg("request", request_of(document, operation)),
        fmt::arg("answers", answers_of(document, common, operation)));
}

std::string operations_of(const object& document, const answers& common, std::string_view tag) {
    std::string out = fmt::format("<section aria-labelledby=tag-{0}><h2 id=tag-{0}>{0}</h2>", tag);
    for (const auto& path : document.at("paths").as_object()) {
        for (const auto& operation : path.value().as_object()) {
            if (view(operation.value().at("tags").as_array().front()) == tag) {
                out += section_of(document, common, path.key(), operation.key(),
                                  operation.value().as_object());
            }
        }
    }
    return out + "</section>";
}

std::string types_of(const object& document) {
    std::string out = "<section aria-labelledby=types><h2 id=types>types</h2>";
    for (const auto& type : document.at("components").at("schemas").as_object()) {
        out += fmt::format("<article id=\"{0}\"><h3>{0}</h3>{1}</article>",
                           std::string_view(type.key()), table_of(type.value().as_object()));
    }
    return out + "</section>";
}

}  // namespace

std::string_view docs_policy() {
    static const std::string policy =
        "default-src 'none'; style-src 'sha256-" + base64_encode(sha256(docs_style)) +
        "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    return policy;
}

std::string docs_page(const object& document) {
    const auto& info = document.at("info").as_object();
    const auto common = common_answers(document);
    std::string menu;
    std::string sections;
    for (const auto& tag : document.at("tags").as_array()) {
        const auto name = view(tag.at("name"));
        menu += fmt::format("<li><a href=\"#tag-{0}\">{0}</a>", name);
        sections += operations_of(document, common, name);
    }
    return fmt::format(
        R"(<!doctype html><html lang=en><head><meta charset=utf-8><title>{title} API</title>)"
        R"(<meta name=viewport content="width=device-width, initial-scale=1">)"
        R"(<meta name=color-scheme content="light dark"><style>{style}</style></head><body>)"
        R"(<a class=skip href="#main">To the operations</a>)"
        R"(<header><h1>{title} API</h1><p>Version {version}</p></header>)"
        R"(<nav aria-label=Resources><ul>{menu}<li><a href="#types">types</a></ul></nav>)"
        R"(<main id=main><p>{words}</p><p>For tools: <a href="/openapi.json">OpenAPI 3.1</a>.</p>)"
        R"({common}{sections}{types}</main></body></html>)"
        "\n",
        fmt::arg("title", escaped(view(info.at("title")))), fmt::arg("style", docs_style),
        fmt::arg("version", escaped(view(info.at("version")))), fmt::arg("menu", menu),
        fmt::arg("words", escaped(view(info.at("description")))),
        fmt::arg("common", common_of(document, common)), fmt::arg("sections", sections),
        fmt::arg("types", types_of(document)));
}

}  // namespace insula::api
