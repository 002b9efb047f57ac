#include "insula/pg/statement.hpp"

namespace insula::pg {

unit::entry& unit::begin_entry(const char* name, std::string_view text) {
    if (entries_.empty()) {
        entries_.reserve(4);  // what a request commonly sends
    }
    entry& e = entries_.emplace_back();
    e.name = name;
    e.text = text;
    e.params_begin = e.params_end = params_.size();
    return e;
}

unit& unit::append(const unit& other) {
    const std::size_t before = params_.size();
    params_.append(other.params_);
    for (const entry& added : other.entries_) {
        entry& e = entries_.emplace_back(added);
        e.params_begin += before;
        e.params_end += before;
    }
    return *this;
}

}  // namespace insula::pg
