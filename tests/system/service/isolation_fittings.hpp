// What every place of every operation of /openapi.json can name. An operation, a parameter or a
// member of a body that is not here fails isolation_generated_test.cpp: say here what of another
// tenant to send there, or why nothing of a tenant can be named there.
#pragma once

#include "described.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace insula::test {

/// What a value refers to. Of each there is A's own, B's, and one that never existed.
enum class thing {
    none,
    project,
    slug,
    tenant,
    user,
    session,
    invite,
    task,
    cursor,           ///< of the operation's own list
    entity_tag,       ///< of what the operation's path names
    idempotency_key,  ///< that B has used with this operation
    email,
    registration,
    refresh_token,
    invite_token,
    verification_token,
    reset_token,
};

/// What is demanded of B's value there.
enum class rule {
    alike,       ///< answered like nobody's, in the same time, and nothing changes
    capability,  ///< it is a credential by itself: one that is over is answered like nobody's
    held,        ///< a credential that never ends: shows the same with A's token and without
    stated,      ///< an exception that is stated, see `about`: still nothing of B changes
    by_acts,     ///< a valid call that makes something: isolation_acts_test.cpp
};

struct place {
    std::string where;  ///< "path/id", "query/cursor", "header/If-Match", "body/email"
    thing names = thing::none;
    std::string sample{};  ///< of thing::none: what is sent; {fresh} becomes unique
    std::string about{};   ///< why nothing can be named there; or why it is an exception
    rule demanded = rule::alike;
    /// Sent also when another place is tried; else only when this one is.
    bool always = true;
    /// Tables in which something about B's own people is noted, because it is about them; with a
    /// plus: rows may be added, and none of those before changes or goes.
    std::vector<std::string> leaves{};
    /// What is free is sent as A's own value.
    bool free = false;
};

struct fitting {
    std::string operation;  ///< "GET /api/v1/projects/{id}"
    std::vector<place> places;
};

const std::vector<fitting>& fittings();
const fitting& fitting_of(std::string_view operation);

/// An operation of the document: its name, and whether it demands a token, and an operator's.
struct operation_of_document {
    std::string name;
    std::string method;
    std::string path;
    bool token = false;
    bool operators = false;
    std::vector<std::string> places;
};
std::vector<operation_of_document> operations_of(const json::object& document);

/// What the document has and the table has not, or the other way round; a sentence each.
std::vector<std::string> unfitted(const json::object& document);

}  // namespace insula::test
