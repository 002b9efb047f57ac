// Programs of tests/system/clients, run by node.
#pragma once

#include "support/service_process.hpp"

#include <boost/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace insula::test {

/// Where the programs and their libraries are: a copy in the build folder.
std::string clients_folder();

/// Installs the libraries of package-lock.json into that folder, unless they are there; why that
/// cannot be, when it cannot: there is no node, or no registry and nothing cached. Throws when it
/// should have gone well.
std::optional<std::string> libraries_missing();

/// Runs a program of that folder to its end, with the input as JSON on standard input.
finished run_node(const std::string& program, const std::vector<std::string>& arguments = {},
                  const boost::json::object& input = {}, const environment& variables = {});

}  // namespace insula::test
