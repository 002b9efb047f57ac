#pragma once
// Findings of verify-isolation that an operator has judged and wants to hear of no more.

#include "insula/core/error.hpp"
#include "insula/tenancy/verify.hpp"

#include <map>
#include <string>
#include <vector>

namespace insula::app::commands {

/// A file of lines "CHECK | OBJECT | WHAT", as the report has them; # begins a comment. All three
/// must agree, so another thing that is wrong with the same object is still told.
class accepted_findings {
public:
    accepted_findings() = default;
    static result<accepted_findings> read(const std::string& path);

    void mark(tenancy::isolation_check& check);
    /// Lines that no finding has matched: what they excused is gone, or reads differently.
    std::vector<std::string> unmatched() const;

private:
    std::map<std::string, bool> lines_;  ///< whether it has matched
};

}  // namespace insula::app::commands
