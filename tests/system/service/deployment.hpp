// Insula on a fresh database, brought up by its own commands as an operator does it, and the
// questions that the tests ask it over HTTP.
#pragma once

#include "support/http_client.hpp"
#include "support/postgres.hpp"
#include "support/service_process.hpp"

#include <boost/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace insula::test {

namespace json = boost::json;

inline constexpr std::string_view good_password = "correct horse battery staple 42";
/// Sent with requests whose answers are compared byte by byte.
inline constexpr std::string_view fixed_request_id = "system-test";

/// A running `insula serve`; or another command, such as `worker`, that listens somewhere.
class served {
public:
    explicit served(const environment& variables, const std::vector<std::string>& arguments = {},
                    const std::string& command = "serve");

    const std::string& address() const { return address_; }
    child_process& process() { return process_; }
    http_client client(std::chrono::milliseconds limit = std::chrono::seconds(60)) const {
        return http_client(address_, limit);
    }

private:
    child_process process_;
    std::string address_;
};

/// Somebody who registered, verified the address and logged in.
struct person {
    std::string email;
    std::string slug;
    std::string user_id;
    std::string tenant_id;
    std::string token;

    std::string schema() const;
    http_fields auth() const;
    http_fields auth_with(http_fields more) const;
};

class deployment {
public:
    /// `extra` overrides the usual settings. Bootstraps and migrates; starts nothing.
    explicit deployment(const environment& extra = {});

    test_database& database() { return database_; }
    const environment& variables() const { return variables_; }
    environment variables_with(const environment& more) const;
    const std::string& mail_folder() const { return mail_.path(); }
    /// `insula serve`, started at the first call.
    served& server();
    /// Ends server(); the next call of it starts another one.
    void stop_server();

    /// A slug nobody has yet.
    std::string fresh_slug(std::string_view stem = "tenant");
    /// Registers, waits for ready, verifies, logs in. Throws with the answer that was none of
    /// these.
    person make_person(std::string_view stem = "tenant");
    /// A new session.
    std::string log_in(const person& who);
    /// Credentials of a platform operator, made at the first call, in a session of their own.
    http_fields operator_auth();
    /// The tokens of all verification mails to that address, in no order.
    std::set<std::string> mailed_tokens(std::string_view email) const;
    /// The token of a mail that is none of the known ones; waits for it.
    std::string wait_for_mail(std::string_view email, const std::set<std::string>& known = {});

private:
    test_database database_{test_database::creation::name_only};
    temporary_folder mail_;
    environment variables_;
    std::unique_ptr<served> server_;
    bool has_operator_ = false;
};

/// One for all tests that leave no trace which others could see.
deployment& shared_deployment();

json::value parse(const http_answer& answer);
std::string text_of(const json::value& value, std::string_view pointer);
json::object registration_form(std::string_view slug, std::string_view email);
http_answer post_json(http_client& to, std::string_view target, const json::value& body,
                      http_fields fields = {});
http_answer patch_json(http_client& to, std::string_view target, const json::value& body,
                       http_fields fields = {});
http_answer delete_json(http_client& to, std::string_view target, const json::value& body,
                        http_fields fields = {});
http_answer get(http_client& from, std::string_view target, const http_fields& fields = {});

/// A new project's id.
std::string make_project(http_client& client, const person& who, std::string_view name,
                         std::optional<std::string> description = {});

/// The answer but for what may differ between two answers alike: its date.
std::string comparable(const http_answer& answer);
/// problem+json as section 1 of the API demands, with everything every answer has. `code` may be
/// empty: any.
testing::AssertionResult is_problem(const http_answer& answer, int status, std::string_view code);
/// Any status from 400 to 499, as is_problem().
testing::AssertionResult is_client_error(const http_answer& answer);

/// The sum of a metric over its label sets that begin so ("" for all): `by="notify"`.
double metric_sum(http_client& client, std::string_view name, std::string_view labels = "");
/// The sum of a counter over the pools whose name begins so.
double metric(http_client& client, std::string_view name, std::string_view pool);

/// Polls until it is true; throws, naming what, when it has not become so in time.
template <class F>
void wait_until(std::string_view what, F&& is_true,
                std::chrono::milliseconds limit = std::chrono::seconds(30));
void wait_a_little();

template <class F>
void wait_until(std::string_view what, F&& is_true, std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!is_true()) {
        if (std::chrono::steady_clock::now() > until) {
            throw std::runtime_error("waited in vain for " + std::string(what));
        }
        wait_a_little();
    }
}

}  // namespace insula::test
