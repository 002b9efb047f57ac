#include "setup_connection.hpp"

namespace insula::app {

result<std::unique_ptr<runtime::loop>> setup_loop(const config& values) {
    const auto choice = runtime::choose_backend(values.runtime);
    if (!choice) {
        return choice.error();
    }
    return runtime::make_loop({.kind = choice->kind, .entries = 64, .buffer_count = 16});
}

}  // namespace insula::app
