// The requests of the generated isolation tests: one for every caller, operation and place.
#pragma once

#include "isolation_stage.hpp"

#include <vector>

namespace insula::test {

/// One place of one operation, tried by somebody; without a place: all that name something at
/// once, but for the header with a slug.
struct probe {
    operation_of_document operation;
    const fitting* fitted;
    const place* where;  ///< null: all
    caller who;
    rule demanded;
    std::vector<std::string> leaves{};
    bool own_only = false;  ///< none of the places is tried

    std::string title() const;
};

struct sent_probe {
    http_answer answer;
    std::string sent;   ///< everything of the request
    std::string value;  ///< of the place
};

/// In what the two answers differ, but for their date, what was sent, and the ids and times made
/// for them.
std::string difference(const sent_probe& one, const sent_probe& other);

/// Sets a member of a body: "name", "address/city", "names/*"; what reads like a number or a yes or
/// no becomes one when `typed`.
void put_member(json::object& body, std::string_view where, const std::string& value, bool typed);

class prober {
public:
    explicit prober(isolation_stage& stage);

    const std::vector<operation_of_document>& operations() const { return operations_; }
    const std::vector<probe>& probes() const { return probes_; }
    /// An operation with A's own values only, by A's owner, by nobody where no token is needed, or
    /// under an assumed identity where that is ended.
    probe with_own_values(const operation_of_document& operation) const;
    sent_probe send(const probe& one, std::string three::* which);
    /// With B's values everywhere, as B's owner.
    http_answer send_as_b(const probe& one);
    /// Nothing of B has changed since the last call, but for what the probe leaves; nothing of A
    /// when the answer was a refusal.
    void expect_unchanged(const probe& one, int status);

    struct request {
        std::string target;
        http_fields fields;
        json::object body;
        std::string value;
    };
    /// send() in two steps.
    request made(const probe& one, std::string three::* which);
    http_answer exchange(const probe& one, const request& what);
    /// The request's bytes, and its answer without a look at whether it is as documented: for
    /// those who measure, or say that they are somewhere else.
    std::string bytes_of(const probe& one, const request& what, std::string_view host) const;
    http_answer exchange_bytes(std::string_view bytes);

private:
    void add_probes(const operation_of_document& operation);
    void put(request& into, const place& where, const std::string& value) const;
    request filled(const probe& one, std::string three::* which);

    isolation_stage& stage_;
    http_client client_;
    std::vector<operation_of_document> operations_;
    std::vector<probe> probes_;
    digests of_a_;
    digests of_b_;
};

}  // namespace insula::test
