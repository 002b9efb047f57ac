// What an operator does from a shell: `insula tenant`, and the password prompt.
#include "deployment.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

class system_tenant_commands : public testing::Test {
protected:
    static void SetUpTestSuite() {
        where_ = std::make_unique<deployment>(environment{{"INSULA_DELETION_GRACE", "1h"}});
    }
    static void TearDownTestSuite() { where_.reset(); }

    static finished tenant(std::vector<std::string> words) {
        words.insert(words.begin(), "tenant");
        return run_insula(words, where_->variables());
    }
    static std::string status_of(const person& who) {
        return where_->database().value_admin("select status from control.tenant where id = '" +
                                              who.tenant_id + "'");
    }
    /// One sentence that says what to do next.
    static void expect_complaint(const finished& command, int code, const std::string& hint) {
        EXPECT_EQ(command.code, code) << command.out << command.err;
        EXPECT_TRUE(command.err.starts_with("insula: ")) << command.err;
        EXPECT_EQ(std::ranges::count(command.err, '\n'), 1) << command.err;
        EXPECT_THAT(command.err, HasSubstr(hint));
        EXPECT_TRUE(command.out.empty()) << command.out;
    }

    http_client client_ = where_->server().client();
    static inline std::unique_ptr<deployment> where_;
};

TEST_F(system_tenant_commands, list_and_show) {
    const auto a = where_->make_person("listed");
    const auto b = where_->make_person("listed");
    const auto all = tenant({"list"});
    EXPECT_EQ(all.code, 0) << all.err;
    const auto at_a = all.out.find(a.tenant_id);
    const auto at_b = all.out.find(b.tenant_id);
    ASSERT_NE(at_a, std::string::npos) << all.out;
    EXPECT_LT(at_b, at_a) << "newest first";
    const auto found = tenant({"list", "--search", b.slug, "--json"});
    const auto items = json::parse(found.out).as_array();
    ASSERT_EQ(items.size(), 1U) << found.out;
    EXPECT_EQ(text_of(items[0], "/id"), b.tenant_id);
    EXPECT_EQ(text_of(items[0], "/status"), "ready");
    EXPECT_TRUE(
        json::parse(tenant({"list", "--status", "failed", "--json"}).out).as_array().empty());
    const auto one = tenant({"list", "--limit", "1"});
    EXPECT_THAT(one.out, Not(HasSubstr(a.tenant_id)));
    EXPECT_THAT(one.err, HasSubstr("--limit"));
    for (const auto& named : {a.slug, a.tenant_id}) {
        const auto shown = tenant({"show", named});
        EXPECT_EQ(shown.code, 0) << shown.err;
        EXPECT_THAT(shown.out, HasSubstr(a.tenant_id));
        EXPECT_THAT(shown.out, HasSubstr("tenant.provision: done"));
        EXPECT_THAT(shown.out, HasSubstr("create_schema: done"));
    }
    EXPECT_EQ(text_of(json::parse(tenant({"show", a.slug, "--json"}).out), "/slug"), a.slug);
    expect_complaint(tenant({"show", "nobody-has-this"}), 1, "insula tenant list");
    expect_complaint(tenant({"suspend", "01900000-0000-7000-8000-000000000000"}), 1,
                     "insula tenant list");
}

TEST_F(system_tenant_commands, suspend_resume_delete_restore) {
    const auto who = where_->make_person("handled");
    make_project(client_, who, "kept");
    expect_complaint(tenant({"resume", who.slug}), 1, "insula tenant show " + who.slug);
    EXPECT_EQ(tenant({"suspend", who.slug}).code, 0);
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "x"}}, who.auth()), 403,
                           "tenant_suspended"));
    expect_complaint(tenant({"suspend", who.slug}), 1, "suspended");
    const auto resumed = tenant({"resume", who.slug, "--json"});
    EXPECT_EQ(text_of(json::parse(resumed.out), "/status"), "ready") << resumed.err;
    // Another process did it: this one lets people in again within a second of hearing of it.
    wait_until("the resumed tenant", [&] {
        return post_json(client_, "/api/v1/projects", {{"name", "again"}}, who.auth()).status ==
               201;
    });

    expect_complaint(tenant({"delete", who.slug, "--confirm", "other"}), 2, who.slug);
    EXPECT_EQ(status_of(who), "ready");
    const auto deleted = tenant({"delete", who.slug, "--confirm", who.slug});
    EXPECT_EQ(deleted.code, 0) << deleted.err;
    EXPECT_THAT(deleted.out, HasSubstr("insula tenant restore " + who.slug));
    EXPECT_EQ(status_of(who), "pending_deletion");
    expect_complaint(tenant({"delete", who.slug, "--confirm", who.slug}), 1, "pending_deletion");
    EXPECT_EQ(tenant({"restore", who.slug}).code, 0);
    EXPECT_EQ(status_of(who), "ready");
    expect_complaint(tenant({"restore", who.slug}), 1, "ready");
    expect_complaint(tenant({"retry", who.slug}), 1, "failed");

    const auto purged =
        tenant({"delete", who.tenant_id, "--confirm", who.slug, "--immediately", "--wait"});
    EXPECT_EQ(purged.code, 0) << purged.err;
    EXPECT_THAT(purged.out, HasSubstr("is gone"));
    EXPECT_THAT(purged.err, HasSubstr("drop_schema: done")) << "no progress was told";
    EXPECT_EQ(status_of(who), "gone");
    EXPECT_EQ(where_->database().value_admin(
                  "select string_agg(action, ',' order by created_at, id) from control.audit_log "
                  "where tenant_id = '" +
                  who.tenant_id + "' and action like 'tenant.%' and request_id = 'command-line'"),
              "tenant.suspend,tenant.resume,tenant.delete,tenant.restore,tenant.delete");
}

TEST_F(system_tenant_commands, retry_waits_and_tells_how_it_ended) {
    const auto original = where_->database().value_admin(
        "select pg_get_functiondef('provision.create_tenant_schema(uuid)'::regprocedure)");
    where_->database().query_admin(
        "create or replace function provision.create_tenant_schema(tenant uuid) returns integer "
        "language plpgsql strict security definer set search_path = pg_catalog, pg_temp as $$ "
        "begin raise exception using errcode = 'P0001', message = 'refused by the test'; end $$");
    const auto slug = where_->fresh_slug("retried");
    const auto accepted =
        post_json(client_, "/api/v1/auth/register", registration_form(slug, slug + "@example.org"));
    ASSERT_EQ(accepted.status, 202) << accepted.text();
    (void)get(client_, *accepted.field("Location") + "?wait=30");
    const auto shown = tenant({"show", slug});
    const auto failing = tenant({"retry", slug, "--wait"});
    where_->database().query_admin(original);
    EXPECT_THAT(shown.out, HasSubstr("refused by the test")) << "operators see the inner reason";
    EXPECT_EQ(failing.code, 1) << failing.out << failing.err;
    EXPECT_THAT(failing.err, HasSubstr(slug + " is failed"));
    const auto mended = tenant({"retry", slug, "--wait"});
    EXPECT_EQ(mended.code, 0) << mended.err;
    EXPECT_THAT(mended.out, HasSubstr(slug + " is ready"));
    EXPECT_EQ(text_of(parse(get(client_, *accepted.field("Location"))), "/status"), "ready");
}

TEST_F(system_tenant_commands, wrong_surroundings_are_told) {
    expect_complaint(run_insula({"tenant", "list"}, {}), 3, "INSULA_");
    auto elsewhere = where_->variables();
    elsewhere["INSULA_ROLE_PREFIX"] = "nobody_made_this";
    const auto refused = run_insula({"tenant", "list"}, elsewhere);
    EXPECT_EQ(refused.code, 1) << refused.err;
    EXPECT_THAT(refused.err, HasSubstr("bootstrap"));
}

TEST_F(system_tenant_commands, operators_are_listed_disabled_and_enabled) {
    const auto operators = [](std::vector<std::string> words) {
        words.insert(words.begin(), "operator");
        return run_insula(words, where_->variables());
    };
    const auto value = [](const std::string& sql) { return where_->database().value_admin(sql); };
    const std::string email = "the-operator@example.org";
    const auto whole = where_->operator_auth();
    const auto who = where_->make_person("assumed");
    const auto assume = [&](const http_fields& auth) {
        return post_json(
            client_, "/api/v1/admin/assume-identity",
            {{"user_id", who.user_id}, {"tenant_id", who.tenant_id}, {"reason", "a test"}}, auth);
    };
    const auto granted = assume(whole);
    ASSERT_EQ(granted.status, 200) << granted.text();
    const http_fields assumed{
        {"Authorization", "Bearer " + text_of(parse(granted), "/access_token")}};

    const auto listed = json::parse(operators({"list", "--json"}).out).as_array();
    ASSERT_EQ(listed.size(), 1U);
    EXPECT_EQ(text_of(listed[0], "/email"), email);
    EXPECT_EQ(listed[0].at("active"), json::value(true));
    EXPECT_EQ(text_of(listed[0], "/assumed_identities"), "1");
    EXPECT_TRUE(text_of(listed[0], "/last_login_at").ends_with("Z"));
    EXPECT_THAT(operators({"list"}).out, HasSubstr(email + "  "));

    const auto disabled = operators({"disable", "The-Operator@EXAMPLE.org"});
    EXPECT_EQ(disabled.code, 0) << disabled.err;
    EXPECT_THAT(disabled.out, HasSubstr("insula operator enable"));
    EXPECT_TRUE(is_problem(
        client_.send("POST", "/api/v1/admin/tenants/" + who.tenant_id + "/suspend", whole), 401,
        "invalid_token"));
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "late"}}, assumed), 401,
                           "invalid_token"));
    wait_until("reads to be refused",
               [&] { return get(client_, "/api/v1/projects", assumed).status == 401; });
    const json::object login{{"email", email}, {"password", good_password}};
    EXPECT_TRUE(
        is_problem(post_json(client_, "/api/v1/auth/login", login), 401, "invalid_credentials"));
    EXPECT_THAT(operators({"list"}).out, HasSubstr("disabled"));
    const auto again = operators({"disable", email, "--json"});
    EXPECT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(json::parse(again.out).at("changed"), json::value(false));

    EXPECT_EQ(operators({"enable", email}).code, 0);
    EXPECT_EQ(post_json(client_, "/api/v1/auth/login", login).status, 200);
    EXPECT_EQ(value("select status from control.tenant where id = '" + who.tenant_id + "'"),
              "ready");
    EXPECT_EQ(value("select string_agg(action, ',' order by created_at, id) from "
                    "control.audit_log where action like 'operator.%' and request_id = "
                    "'command-line' and entity_id = (select id::text from control.account where "
                    "email = '" +
                    email + "')"),
              "operator.create,operator.disable,operator.enable");
    expect_complaint(operators({"disable", who.email}), 1, "insula operator list");
    expect_complaint(operators({"enable", "nobody"}), 2, "address");
    EXPECT_EQ(value("select active from control.account where id = '" + who.user_id + "'"), "t");
}

/// A terminal of one's own, as somebody types at it.
class terminal {
public:
    terminal() : typist_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
        if (typist_ < 0 || ::grantpt(typist_) != 0 || ::unlockpt(typist_) != 0) {
            throw std::runtime_error("no pseudo-terminal");
        }
        name_ = ::ptsname(typist_);
        // Kept open: the kernel forgets the settings of a terminal that nobody has open.
        held_ = ::open(name_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
        ::fcntl(typist_, F_SETFL, O_NONBLOCK);
    }
    ~terminal() {
        ::close(held_);
        ::close(typist_);
    }
    terminal(const terminal&) = delete;
    terminal& operator=(const terminal&) = delete;

    bool echoes() const {
        termios settings{};
        ::tcgetattr(held_, &settings);
        return (settings.c_lflag & ECHO) != 0;
    }
    void type(std::string_view text) {
        ASSERT_EQ(::write(typist_, text.data(), text.size()), std::ssize(text));
    }
    const std::string& shown() {
        char buffer[1024];
        for (ssize_t n = 0; (n = ::read(typist_, buffer, sizeof buffer)) > 0;) {
            shown_.append(buffer, static_cast<std::size_t>(n));
        }
        return shown_;
    }
    const std::string& name() const { return name_; }

private:
    int typist_;
    int held_ = -1;
    std::string name_;
    std::string shown_;
};

/// `insula operator create` as the foreground job of that terminal.
pid_t start_at(terminal& where, const environment& variables) {
    std::string program = insula_binary();
    std::vector<std::string> words{program, "operator", "create", "--email", "x@example.org"};
    std::vector<std::string> texts;
    for (const auto& [name, value] : variables) {
        texts.push_back(name + "=" + value);
    }
    std::vector<char*> argv;
    std::vector<char*> envp;
    for (auto& word : words) {
        argv.push_back(word.data());
    }
    for (auto& text : texts) {
        envp.push_back(text.data());
    }
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::setsid();
        const int fd = ::open(where.name().c_str(), O_RDWR);  // becomes the controlling terminal
        for (const int standard : {0, 1, 2}) {
            ::dup2(fd, standard);
        }
        ::execve(argv.front(), argv.data(), envp.data());
        ::_exit(127);
    }
    return child;
}

TEST(system_commands, a_signal_at_the_password_prompt_gives_the_terminal_its_echo_back) {
    const environment variables{
        {"INSULA_DATABASE_URL", "host=/nonexistent dbname=insula"},
        {"INSULA_KEY_ENCRYPTION_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}};
    for (const int signal_number : {SIGINT, SIGTERM}) {
        terminal screen;
        ASSERT_TRUE(screen.echoes());
        const pid_t child = start_at(screen, variables);
        ASSERT_GT(child, 0);
        wait_until("the prompt", [&] {
            return screen.shown().find("Password: ") != std::string::npos && !screen.echoes();
        });
        screen.type("half a passw");
        if (signal_number == SIGINT) {
            screen.type("\x03");  // as a person interrupts
        } else {
            ::kill(child, signal_number);
        }
        int status = 0;
        wait_until("its end", [&] { return ::waitpid(child, &status, WNOHANG) == child; });
        EXPECT_TRUE(WIFSIGNALED(status));
        EXPECT_EQ(WTERMSIG(status), signal_number);
        EXPECT_TRUE(screen.echoes()) << "the shell behind it would be blind";
        EXPECT_EQ(screen.shown().find("passw"), std::string::npos) << screen.shown();
    }
}

}  // namespace
}  // namespace insula::test
