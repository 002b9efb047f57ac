#include "insula/pg/statement.hpp"

namespace insula::pg {

unit::entry& unit::begin_entry(const char* name, std::string_view text) {
    entry& e = entries_.emplace_back();
    e.name = name;
    e.text = text;
    e.params_begin = e.params_end = params_.size();
    return e;
}

}  // namespace insula::pg
