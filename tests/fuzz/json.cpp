// JSON in and out: whatever is taken has one canonical text, which is taken again and means the
// same; what is taken is UTF-8 and within the bounds (G62).
#include "insula/core/json.hpp"

#include "support/fuzz.hpp"

#include "insula/core/text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <cmath>

namespace insula {
namespace {

using fuzz::require;

std::size_t depth_of(const boost::json::value& tree) {
    std::size_t deepest = 0;
    if (const auto* array = tree.if_array()) {
        for (const auto& item : *array) {
            deepest = std::max(deepest, depth_of(item));
        }
        return deepest + 1;
    }
    if (const auto* object = tree.if_object()) {
        for (const auto& [name, member] : *object) {
            require(valid_utf8(name), "a name that is not UTF-8");
            deepest = std::max(deepest, depth_of(member));
        }
        require(object->size() <= json_limits().members_max, "more members than the bound");
        return deepest + 1;
    }
    if (const auto* text = tree.if_string()) {
        require(valid_utf8(*text), "a text that is not UTF-8");
    }
    return deepest;
}

/// Equal, but for the last digit of numbers with a fraction or beyond 64 bits: Boost.JSON 1.81
/// rounds those one way when it reads them, and none of the API's types has one.
bool same(const boost::json::value& a, const boost::json::value& b) {
    if (a.is_double() && b.is_double()) {
        const double larger = std::max(std::abs(a.get_double()), std::abs(b.get_double()));
        return std::abs(a.get_double() - b.get_double()) <= larger * 1e-14;
    }
    if (a.is_array() && b.is_array()) {
        return std::ranges::equal(a.get_array(), b.get_array(), same);
    }
    if (a.is_object() && b.is_object()) {
        return a.get_object().size() == b.get_object().size() &&
               std::ranges::all_of(a.get_object(), [&b](const auto& member) {
                   const auto* other = b.get_object().if_contains(member.key());
                   return other != nullptr && same(member.value(), *other);
               });
    }
    return a == b;
}

/// The same tree written member by member.
void write(json_writer& out, const boost::json::value& tree) {
    if (const auto* object = tree.if_object()) {
        out.begin_object();
        for (const auto& [name, member] : *object) {
            out.key(name);
            write(out, member);
        }
        out.end_object();
    } else if (const auto* array = tree.if_array()) {
        out.begin_array();
        for (const auto& item : *array) {
            write(out, item);
        }
        out.end_array();
    } else if (const auto* text = tree.if_string()) {
        out.value(std::string_view(*text));
    } else if (const auto* truth = tree.if_bool()) {
        out.value(*truth);
    } else if (const auto* integer = tree.if_int64()) {
        out.value(*integer);
    } else if (tree.is_null()) {
        out.null();
    } else {
        out.raw(boost::json::serialize(tree));
    }
}

}  // namespace
}  // namespace insula

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace insula;
    const auto text = fuzz::as_text(data, size);
    const auto tree = parse_json(text);
    if (!tree) {
        require(tree.error() == errc::malformed_json, "refused with another code");
        return 0;
    }
    require(depth_of(*tree) <= json_limits().depth_max, "deeper than the bound");
    boost::system::error_code wrong;
    const auto other = boost::json::parse(text, wrong);
    require(!wrong && other == *tree, "Boost.JSON reads something else");
    const auto canonical = to_json_text(*tree);
    const auto again = parse_json(canonical);
    require(again && same(*again, *tree), "the canonical text means something else");
    require(canonical.find_first_of(".E") != std::string::npos || to_json_text(*again) == canonical,
            "the canonical text has another one");
    std::string written;
    json_writer out(written);
    write(out, *tree);
    const auto back = parse_json(written);
    require(back && same(*back, *tree), "what json_writer writes means something else");
    return 0;
}
