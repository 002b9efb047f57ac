#pragma once

namespace insula::app {

/// The command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 configuration.
int main(int argc, char** argv);

}  // namespace insula::app
