#include "described.hpp"

#include "json_schema.hpp"

#include <algorithm>
#include <atomic>
#include <iostream>
#include <map>
#include <mutex>

namespace insula::test {
namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

std::vector<std::string_view> segments_of(std::string_view path) {
    std::vector<std::string_view> segments;
    for (std::size_t at = 0; at != std::string_view::npos;) {
        const auto next = path.find('/', at + 1);
        segments.push_back(path.substr(at, next - at));
        at = next;
    }
    return segments;
}

/// How well a path of the document fits: -1 not at all, else how many segments are literal.
int fit_of(std::string_view pattern, const std::vector<std::string_view>& path) {
    const auto wanted = segments_of(pattern);
    if (wanted.size() != path.size()) {
        return -1;
    }
    int literal = 0;
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (wanted[i] == path[i]) {
            ++literal;
        } else if (!wanted[i].starts_with("/{") || path[i].size() < 2) {
            return -1;
        }
    }
    return literal;
}

const json::object* path_of(const json::object& document, std::string_view target) {
    const auto segments = segments_of(target.substr(0, target.find('?')));
    const json::object* best = nullptr;
    int best_fit = -1;
    for (const auto& path : document.at("paths").as_object()) {
        if (const int fit = fit_of(path.key(), segments); fit > best_fit) {
            best_fit = fit;
            best = &path.value().as_object();
        }
    }
    return best;
}

/// Every field that the document demands of a status comes with it, and these come nowhere else.
std::string fields_misfit(const json::object& document, const json::object& about,
                          const http_answer& answer) {
    const auto* named = about.if_contains("headers");
    const json::object none;
    const auto& fields = named == nullptr ? none : named->as_object();
    for (const auto& field : fields) {
        const auto& what = resolved(document, field.value().as_object());
        if (what.at("required").as_bool() && !answer.field(field.key())) {
            return "no " + std::string(field.key());
        }
    }
    for (const char* name : {"Location", "ETag", "Retry-After", "WWW-Authenticate"}) {
        if (answer.field(name) && !fields.contains(name)) {
            return std::string(name) + " is not described";
        }
    }
    return "";
}

std::string body_misfit(const json::object& document, const json::object& about,
                        const http_answer& answer) {
    const auto* content = about.if_contains("content");
    if (content == nullptr) {
        return answer.body.empty() ? "" : "a body where none is described";
    }
    const auto type = answer.field("Content-Type").value_or("");
    const auto* media = content->as_object().if_contains(type.substr(0, type.find(';')));
    if (media == nullptr) {
        return "the content type is not described: " + type;
    }
    const auto& schema = media->at("schema").as_object();
    if (type.find("json") == std::string::npos) {
        return misfit(document, json::value(answer.body), schema);
    }
    boost::system::error_code failed;
    const auto body = json::parse(answer.body, failed);
    return failed ? "the body is not JSON" : misfit(document, body, schema);
}

std::string response_misfit(const json::object& document, const json::object& operation,
                            const http_answer& answer, bool head_request) {
    const auto* response =
        operation.at("responses").as_object().if_contains(std::to_string(answer.status));
    if (response == nullptr) {
        return "this status is not described";
    }
    const auto& about = resolved(document, response->as_object());
    auto why = fields_misfit(document, about, answer);
    if (why.empty() && !head_request) {
        why = body_misfit(document, about, answer);
    }
    return why;
}

/// What is not of an operation: a path nobody has, a method the path has not, the pages of dev.
std::string stray_misfit(std::string_view method, std::string_view target,
                         const http_answer& answer, bool known_path) {
    const auto path = target.substr(0, target.find('?'));
    const bool page =
        path == "/verify-email" || path == "/reset-password" || path == "/accept-invite";
    if ((page && answer.status == 200) || (method == "OPTIONS" && answer.status == 204)) {
        return "";
    }
    static const std::set<int> unrouted{400, 404, 405, 408, 413, 417, 429, 431, 501, 503};
    if (!unrouted.contains(answer.status) || (known_path && answer.status == 404)) {
        return "this status is no answer to what is not offered";
    }
    const auto problem = is_problem(answer, answer.status, "");
    return method == "HEAD" || problem ? "" : problem.message();
}

// The answers that were held against their document, and those whose server had none to give (it
// was an admin listener, or gone before it was asked).
std::atomic<long> checked = 0;
std::atomic<long> without_document = 0;

/// Of each server of this program, asked once; again when an answer does not fit, for another
/// server may have got the port.
class documents {
public:
    std::shared_ptr<const json::object> of(const std::string& address, bool again) {
        const std::lock_guard lock(mutex_);
        auto& known = all_[address];
        if (!known || again) {
            known = load(address);
        }
        return known;
    }

private:
    static std::shared_ptr<const json::object> load(const std::string& address) {
        try {
            http_client client(address, std::chrono::seconds(10));
            const auto answer = get(client, "/openapi.json");
            if (answer.status == 200) {
                return std::make_shared<const json::object>(parse(answer).as_object());
            }
        } catch (const http_failure&) {
            return nullptr;
        }
        return nullptr;
    }

    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<const json::object>> all_;
};

void hold_against_document(const std::string& address, std::string_view method,
                           std::string_view target, const http_answer& answer) {
    thread_local bool asking = false;  // the question for the document is an answer, too
    if (asking) {
        return;
    }
    static documents known;
    asking = true;
    std::string why;
    for (const bool again : {false, true}) {
        const auto document = known.of(address, again);
        if (!document) {
            ++without_document;
            break;
        }
        why = not_described(*document, method, target, answer);
        if (why.empty()) {
            ++checked;
            break;
        }
    }
    asking = false;
    if (!why.empty()) {
        ADD_FAILURE() << "not as /openapi.json says: " << why << "\n"
                      << method << " " << target.substr(0, 300) << "\n"
                      << answer.text();
    }
}

/// Begins with the program, and says at its end how many answers it saw.
class watch final : public testing::Environment {
public:
    void SetUp() override { http_client::watch_all(&hold_against_document); }
    void TearDown() override {
        std::cout << checked << " answers fit /openapi.json; " << without_document
                  << " came from servers without one\n";
        EXPECT_LE(without_document, checked / 20 + 100);
    }
};

const auto* const watching = testing::AddGlobalTestEnvironment(new watch);

}  // namespace

const json::object& resolved(const json::object& document, const json::object& maybe_reference) {
    const auto* reference = maybe_reference.if_contains("$ref");
    if (reference == nullptr) {
        return maybe_reference;
    }
    const auto path = std::string_view(reference->as_string()).substr(1);
    const json::value* found = &document.at("components");
    for (auto segment : segments_of(path.substr(std::string_view("/components").size()))) {
        found = &found->at(segment.substr(1));
    }
    return found->as_object();
}

bool needs_token(const json::object& operation) {
    const auto& ways = operation.at("security").as_array();
    return !ways.empty() && std::ranges::none_of(ways, [](const json::value& way) {
        return way.as_object().empty();
    });
}

std::string not_described(const json::object& document, std::string_view method,
                          std::string_view target, const http_answer& answer) {
    const auto* path = path_of(document, target);
    const bool head = method == "HEAD";
    const auto* operation =
        path == nullptr ? nullptr : path->if_contains(head ? "get" : lower(method));
    const bool upper_case = lower(method) != method;
    if (operation == nullptr || !upper_case) {
        return stray_misfit(method, target, answer, path != nullptr);
    }
    return response_misfit(document, operation->as_object(), answer, head);
}

testing::AssertionResult is_described(http_client& client, const http_answer& answer,
                                      std::string_view method, std::string_view path) {
    const auto document = parse(get(client, "/openapi.json")).as_object();
    const auto& operation = document.at("paths").at(path).at(lower(method)).as_object();
    const auto why = response_misfit(document, operation, answer, false);
    return why.empty() ? testing::AssertionSuccess()
                       : testing::AssertionFailure() << why << " in " << answer.text();
}

}  // namespace insula::test
