// Everything that is audited, provoked over HTTP: one entry per kind of act. A new route that
// changes something gets its entry here; audited_acts_test.cpp finds out which have none.
#pragma once

#include "deployment.hpp"

#include <functional>

namespace insula::test {

/// Where the acts happen, and who does them.
class stage {
public:
    /// `assumed`: what members do is done by an operator under their identity.
    stage(deployment& where, bool assumed);

    deployment& where() { return where_; }
    http_client& client() { return client_; }
    const person& owner() const { return owner_; }
    const std::string& operator_id() const { return operator_id_; }
    const http_fields& operator_auth() const { return operator_; }
    bool assumed() const { return assumed_; }
    std::string value(const std::string& sql) { return where_.database().value_admin(sql); }

    /// The credentials with which a member's act is done: the member's own, or an operator's.
    http_fields auth_of(const person& who);
    http_fields auth() { return auth_of(owner_); }
    /// Tokens of a new session of the person: access_token, refresh_token, ….
    json::value log_in(const person& who);
    /// Invited to the owner's tenant; the token of the mail.
    std::string invite(const std::string& email, std::string_view role = "member");
    /// A member of the owner's tenant; token and slug are of that tenant.
    person make_member(std::string_view role = "member");
    /// A registration that has failed: its answer.
    json::value failed_registration();
    /// A file's worth of text: unique, and a fine slug.
    std::string fresh(std::string_view stem) { return where_.fresh_slug(stem); }
    /// The operator's access token under a member's identity.
    std::string assume(const person& who);

private:
    deployment& where_;
    bool assumed_;
    http_client client_;
    http_fields operator_;
    std::string operator_id_;
    person owner_;
};

/// Who may do it.
enum class act_of {
    anybody,    // without a token
    member,     // also an operator under a member's identity
    own,        // a member, but nobody under the member's identity: 403
    operator_,  // under its own name
    assumed,    // only under an assumed identity
};

/// An act that is ready to be done; done again after it failed, it succeeds.
struct prepared_act {
    std::function<http_answer(http_fields)> run;  ///< with these fields, besides its own
    int status = 200;                             ///< when it succeeds
    std::string user{};    ///< user_id of its row, when it is known; "none": null
    std::string tenant{};  ///< tenant_id of its row, when it is known; "none": null
};

struct audited_act {
    std::string action;
    std::string method;
    std::string path;  ///< as in /openapi.json
    act_of by;
    std::function<prepared_act(stage&)> prepare;
    /// Of the row. A failure that is noted changes nothing, so it is answered without its row, too.
    std::string result = "success";
    bool changes = true;
};

const std::vector<audited_act>& audited_acts();

/// Operations of /openapi.json that change nothing worth a row, and why.
const std::vector<std::pair<std::string, std::string>>& unaudited_operations();

}  // namespace insula::test
