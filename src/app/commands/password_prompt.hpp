#pragma once
#include "insula/core/secret.hpp"

namespace insula::app::commands {

/// A password from the terminal without echo, or one line of standard input when that is no
/// terminal. A signal that ends the program at the prompt leaves the terminal as it was.
secret_string read_password();

}  // namespace insula::app::commands
