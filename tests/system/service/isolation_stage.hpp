// Two tenants: A, whose people try, and B, which has everything that can be named. Every text of
// B is a canary: 128 random bits that may be seen nowhere else (G04).
#pragma once

#include "isolation_fittings.hpp"
#include "isolation_rows.hpp"
#include "signed_in.hpp"

#include <map>
#include <optional>

namespace insula::test {

/// Who asks, all with credentials of A or of nobody.
enum class caller { nobody, member, both, admin, owner, assumed, operator_ };
std::string_view name_of(caller who);

/// A thing of A's own, the same of B, and one that never existed; alike in size and shape.
struct three {
    std::string own;
    std::string foreign;
    std::string missing;
};

/// Somebody with a session.
struct signed_in {
    person who;
    token_pair tokens;
};

struct canary {
    std::string what;     ///< "a project's name"
    std::string value;    ///< 32 hexadecimal digits
    bool logged = false;  ///< a request's id is there to be logged
};

class isolation_stage {
public:
    static isolation_stage& shared();
    isolation_stage();

    deployment& where() { return *where_; }
    http_client client() { return where_->server().client(); }
    std::string log() { return where_->server().process().err(); }

    /// The people of A; owner, admin (who was a member of B and is none any more), member.
    signed_in owner, admin, member;
    /// A member of both, with a session in A and one in B.
    signed_in both;
    token_pair both_in_b;
    /// The people of B, and somebody who has registered a tenant but not verified the address.
    signed_in b_owner, b_admin, b_member;
    person b_unverified;

    http_fields credentials(caller who) const;
    http_fields b_credentials() const { return b_owner.tokens.auth(); }
    /// Of a place of an operation, for somebody who sends it.
    three values(const operation_of_document& operation, const place& where);

    /// What works, of B; and with B's people as addressees.
    std::string live_invite_token, live_reset_token, live_verification_token;

    std::unique_ptr<rows_about> a_rows, b_rows;
    /// Makes the tokens of A that values() knows good ones. The first that is used ends it.
    void make_own_live();
    /// Until no task is running or ready.
    void settle();

    const std::vector<canary>& canaries() const { return canaries_; }
    /// The canaries in a text, and all ids of rows of B's, but for those in what was sent; empty:
    /// none.
    std::string seen_in(std::string_view text, std::string_view sent = {}) const;
    /// Secrets of B, which not even B's own log may have: what it is, and its value.
    const std::vector<std::pair<std::string, std::string>>& secrets() const { return secrets_; }

private:
    std::string plant(std::string_view what);
    http_fields as_b(const signed_in& who);
    http_answer must(http_answer answer, int status, std::string_view what) const;
    signed_in register_tenant(bool of_b, std::string& registration);
    void log_in(signed_in& one, bool of_b);
    token_pair open_session(const person& who, bool of_b);
    signed_in join(const signed_in& inviter, std::string_view role, bool of_b);
    std::string invite(const signed_in& by, const std::string& email, std::string* token,
                       bool of_b);
    std::string mail_token_after(std::string_view route, const std::string& email);
    void build_b();
    void build_b_people();
    void build_b_ends();
    void build_a();
    void know_values();

    std::unique_ptr<deployment> where_;
    http_fields operator_;
    std::string assumed_;
    std::vector<canary> canaries_;
    std::vector<std::pair<std::string, std::string>> secrets_;
    std::map<thing, three> things_;
    std::map<std::string, three> found_;  ///< cursors and entity tags of operations
    std::string b_project_, b_invite_, b_registration_, a_registration_;
    std::string a_project_, a_invite_;
};

/// The answer but for what may differ between two alike: its date, and the ids and times it made.
std::string alike(const http_answer& answer, const std::string& sent);

}  // namespace insula::test
