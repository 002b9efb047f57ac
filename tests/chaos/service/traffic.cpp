#include "traffic.hpp"

namespace insula::test {
namespace {

constexpr const char* projects_path = "/api/v1/projects";
/// A client that hears nothing for so long says that the service hangs.
constexpr auto patience = 8s;

/// Not done, or not known yet: ask again. In progress is what one asked before, and was told 503
/// for, while its statement has not ended.
bool is_later(const http_answer& answer) {
    return (is_problem(answer, 503, "") || is_problem(answer, 409, "idempotency_in_progress")) &&
           answer.field("Retry-After");
}

/// An answer that a client cannot mistake.
bool is_honest(const http_answer& answer, bool is_ended) {
    return answer.status < 300 || (is_ended && answer.status == 401) || is_later(answer);
}

}  // namespace

traffic::traffic(patient& on) : on_(on) {
    for (const act what : {&traffic::read, &traffic::read, &traffic::write, &traffic::write,
                           &traffic::enrol, &traffic::revoke}) {
        threads_.emplace_back([this, what] { repeat(what); });
    }
}

void traffic::stop() {
    stopping_ = true;
    for (auto& thread : threads_) {
        thread.join();
    }
    threads_.clear();
}

void traffic::repeat(act what) {
    while (!stopping_) {
        try {
            (this->*what)();
        } catch (const std::exception& thrown) {
            const std::lock_guard held(guard_);
            odd_.emplace_back(thrown.what());
        }
        std::this_thread::sleep_for(3ms);  // as people do; nothing waits for it
    }
}

std::size_t traffic::answers(int status) const {
    const std::lock_guard held(guard_);
    const auto found = answers_.find(status);
    return found == answers_.end() ? 0 : found->second;
}

std::chrono::milliseconds traffic::longest() const {
    const std::lock_guard held(guard_);
    return longest_;
}

std::string traffic::slowest() const {
    const std::lock_guard held(guard_);
    return slowest_;
}

std::vector<std::string> traffic::odd() const {
    const std::lock_guard held(guard_);
    return odd_;
}

void traffic::judge(const std::string& what, const http_answer& answer, clock::duration took,
                    bool is_ended) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took);
    const std::lock_guard held(guard_);
    ++answers_[answer.status];
    if (ms > longest_) {
        longest_ = ms;
        slowest_ = what + " " + answer.text();
    }
    if (!nonsense_ && !is_honest(answer, is_ended)) {
        odd_.push_back(what + " answered " + answer.text());
    }
}

std::optional<http_answer> traffic::ask(http_client& client, const std::string& method,
                                        const std::string& target, http_fields fields,
                                        const json::value& body, bool is_ended) {
    const auto began = clock::now();
    fields.emplace_back("Content-Type", "application/json");
    try {
        auto answer = client.send(method, target, fields,
                                  method == "GET" ? std::string() : json::serialize(body));
        judge(method + " " + target, answer, clock::now() - began, is_ended);
        return answer;
    } catch (const http_failure& failure) {
        const std::lock_guard held(guard_);
        odd_.push_back(method + " " + target + ": " + failure.what());
        return std::nullopt;
    }
}

void traffic::read() {
    auto client = on_.service().client(patience);
    for (int i = 0; i < 50 && !stopping_; ++i) {
        const auto& who = on_.people()[static_cast<std::size_t>(i % 2)];
        const auto& other = on_.people()[static_cast<std::size_t>(1 - i % 2)];
        const auto answer = ask(client, "GET", projects_path, who.auth(), {});
        if (answer && answer->body.find(other.tenant_id) != std::string::npos) {
            const std::lock_guard held(guard_);
            odd_.push_back("another tenant's rows: " + answer->text());
        }
        std::this_thread::sleep_for(3ms);
    }
}

std::optional<http_answer> traffic::insist(http_client& client, const std::string& target,
                                           http_fields fields, const json::value& body) {
    fields.emplace_back("Idempotency-Key", on_.where().fresh_slug("key"));
    for (;;) {
        auto answer = ask(client, "POST", target, fields, body);
        if (answer && !is_later(*answer)) {
            return answer;
        }
        if (stopping_) {
            return std::nullopt;
        }
        std::this_thread::sleep_for(10ms);
    }
}

void traffic::write() {
    auto client = on_.service().client(patience);
    const auto name = on_.fresh_name();
    const auto answer =
        insist(client, projects_path, on_.people().front().auth(), {{"name", name}});
    const std::lock_guard held(guard_);
    (answer && answer->status == 201 ? accepted_ : refused_).push_back(name);
}

void traffic::enrol() {
    auto client = on_.service().client(patience);
    const auto slug = on_.where().fresh_slug("crowd");
    const auto answer =
        insist(client, "/api/v1/auth/register", {}, registration_form(slug, slug + "@example.org"));
    if (answer && answer->status == 202) {
        const std::lock_guard held(guard_);
        enrolled_.push_back(*answer->field("Location"));
    }
    // More than are made ready meanwhile would be a queue for whoever comes after.
    std::this_thread::sleep_for(60ms);
}

// A session that is ended where nothing is wrong.
void traffic::revoke() {
    auto elsewhere = on_.colleague().client(patience);
    auto here = on_.service().client(patience);
    const auto answer = post_json(elsewhere, "/api/v1/auth/login",
                                  {{"email", on_.leaver().email}, {"password", good_password}});
    if (answer.status != 200) {
        return;  // PostgreSQL itself is away
    }
    const auto tokens = parse(answer);
    const http_fields auth{{"Authorization", "Bearer " + text_of(tokens, "/access_token")}};
    (void)ask(here, "GET", projects_path, auth, {});
    if (post_json(elsewhere, "/api/v1/auth/logout",
                  {{"refresh_token", text_of(tokens, "/refresh_token")}})
            .status != 204) {
        return;
    }
    const auto ended = clock::now();
    while (!stopping_) {
        const auto began = clock::now();
        const auto heard = ask(here, "GET", projects_path, auth, {}, true);
        if (heard && heard->status == 401) {
            return;
        }
        if (heard && heard->status == 200 && began > ended + 1s) {
            const std::lock_guard held(guard_);
            odd_.emplace_back("a session that ended more than a second ago was let in");
            return;
        }
        std::this_thread::sleep_for(5ms);
    }
}

void traffic::expect_nothing_lost_or_doubled() {
    const auto schema = on_.people().front().schema();
    const auto count = [&](const std::string& name) {
        return on_.value("select count(*) from " + schema + ".projects where name = '" + name +
                         "'");
    };
    for (const auto& name : accepted_) {
        EXPECT_EQ(count(name), "1") << name << " was accepted";
    }
    for (const auto& name : refused_) {
        EXPECT_NE(count(name), "2") << name;
    }
    auto client = on_.colleague().client();
    for (const auto& url : enrolled_) {
        const auto status = get(client, url + "?wait=20");
        EXPECT_EQ(text_of(parse(status), "/status"), "ready")
            << status.text() << on_.what_it_is_at();
    }
}

}  // namespace insula::test
