// Everything in the database that is about a tenant and its people, wherever it is: found from the
// catalogue, so that a table made tomorrow is watched tomorrow.
#pragma once

#include "deployment.hpp"

#include <map>

namespace insula::test {

/// Digests of each table's rows that are about them, of the tables and sequences in their schemas
/// whole, and of what the catalogue has about these schemas and their roles. By name:
/// "control.session", "t_….projects", "catalogue".
using digests = std::map<std::string, std::string>;

class rows_about {
public:
    /// `words`: tenants' and people's ids, slugs, mail addresses. What has one of them is about
    /// them; so is what names the id of such a row, such as the steps of a tenant's run.
    rows_about(deployment& where, std::vector<std::string> words, std::vector<std::string> schemas);

    digests now();
    /// The names by which they differ, but for tables that begin with one of `but`, or are one of
    /// it with a plus and have all rows of before; empty: none.
    static std::string difference(const digests& before, const digests& after,
                                  const std::vector<std::string>& but = {});

    /// What a row must have to be about them; with the ids of all such rows.
    const std::vector<std::string>& words() const { return words_; }

private:
    std::string pattern() const;

    deployment& where_;
    std::vector<std::string> words_;
    std::string schemas_;  ///< as an array of PostgreSQL
    // Of the last look: a table in which nothing was written since is not read again.
    std::map<std::string, std::string> versions_;
    digests last_;
};

}  // namespace insula::test
