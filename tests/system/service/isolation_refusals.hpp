// How each probe must be answered, so that it is refused for what it names and not for something
// that was looked at before, such as a body that is no longer what the operation reads.
#pragma once

#include "isolation_probes.hpp"

namespace insula::test {

/// "404 not_found": the answer's status and, of a problem, its code.
std::string outcome(const http_answer& answer);

/// Which outcomes a probe with B's value may have; several where one call leads to the next one's.
std::vector<std::string> outcomes_of(const probe& one);

/// Whether that caller's role lets it do the operation; if not, the answer is 403 forbidden
/// whatever is named, which proves nothing about the rest.
bool may(const operation_of_document& operation, caller who);

/// Operations of the document without a row in the tables, and rows without an operation.
std::vector<std::string> unruled(const std::vector<operation_of_document>& operations);

/// With A's own values each operation succeeds: these, with another outcome than 200, 201, 202 or
/// 204, and why.
const std::map<std::string, std::pair<std::string, std::string>>& own_outcomes();

}  // namespace insula::test
