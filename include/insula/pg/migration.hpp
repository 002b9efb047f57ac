#pragma once
#include <string_view>

namespace insula::pg {

/// One numbered SQL file. Its checksum (SHA-256 of `sql`) is recorded when it is applied.
struct migration {
    int number;
    std::string_view name;
    std::string_view sql;
};

}  // namespace insula::pg
