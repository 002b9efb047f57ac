#pragma once
// A workflow's input as JSON text: described structs written with core's json_writer, read back
// with core's decode.

#include "insula/core/json_writer.hpp"

#include <boost/describe.hpp>
#include <boost/mp11/algorithm.hpp>

#include <string>

namespace insula::queue {

/// W::version, or 1. A changed list of steps needs a new number while runs of the old one may be
/// alive.
template <class W>
inline constexpr int workflow_version = 1;
template <class W>
    requires requires { W::version; }
inline constexpr int workflow_version<W> = W::version;

/// Input: BOOST_DESCRIBE_STRUCT with members that json_writer can write and core's decode can read.
template <class Input>
std::string encode_input(const Input& input) {
    using members = boost::describe::describe_members<Input, boost::describe::mod_any_access>;
    std::string text;
    json_writer out(text);
    out.begin_object();
    boost::mp11::mp_for_each<members>([&](auto member) {
        const auto& value = input.*member.pointer;
        if constexpr (requires { value.has_value(); }) {
            if (!value.has_value()) {
                return;  // absent, as decode wants it: null is refused there
            }
        }
        out.member(member.name, value);
    });
    out.end_object();
    return text;
}

}  // namespace insula::queue
