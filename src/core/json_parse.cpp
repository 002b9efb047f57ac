#include "insula/core/json.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_stack.hpp>

#include <cmath>

namespace insula {
namespace {

namespace bj = boost::json;

// Builds the tree as Boost's own parser does, and besides counts members: the tree keeps the last
// of several members of one name, so fewer members in the tree than in the text means duplicates.
class tree_handler {
public:
    static constexpr std::size_t max_object_size = bj::object::max_size();
    static constexpr std::size_t max_array_size = bj::array::max_size();
    static constexpr std::size_t max_key_size = bj::string::max_size();
    static constexpr std::size_t max_string_size = bj::string::max_size();

    explicit tree_handler(std::size_t members_max) : members_max_(members_max) {}

    void reset(bj::storage_ptr storage) { stack_.reset(std::move(storage)); }
    bj::value release() { return stack_.release(); }
    [[nodiscard]] std::size_t members() const noexcept { return members_; }

    bool on_document_begin(bj::error_code&) { return true; }
    bool on_document_end(bj::error_code&) { return true; }
    bool on_object_begin(bj::error_code&) { return true; }
    bool on_object_end(std::size_t count, bj::error_code& ec) {
        if (count > members_max_) {
            ec = bj::error::object_too_large;
            return false;
        }
        members_ += count;
        stack_.push_object(count);
        return true;
    }
    bool on_array_begin(bj::error_code&) { return true; }
    bool on_array_end(std::size_t count, bj::error_code&) {
        stack_.push_array(count);
        return true;
    }
    bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) {
        stack_.push_chars(part);
        return true;
    }
    bool on_key(bj::string_view part, std::size_t, bj::error_code&) {
        stack_.push_key(part);
        return true;
    }
    bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) {
        stack_.push_chars(part);
        return true;
    }
    bool on_string(bj::string_view part, std::size_t, bj::error_code&) {
        stack_.push_string(part);
        return true;
    }
    bool on_number_part(bj::string_view, bj::error_code&) { return true; }
    bool on_int64(std::int64_t number, bj::string_view, bj::error_code&) {
        stack_.push_int64(number);
        return true;
    }
    bool on_uint64(std::uint64_t number, bj::string_view, bj::error_code&) {
        stack_.push_uint64(number);
        return true;
    }
    bool on_double(double number, bj::string_view, bj::error_code& ec) {
        if (!std::isfinite(number)) {
            ec = bj::error::exponent_overflow;
            return false;
        }
        stack_.push_double(number);
        return true;
    }
    bool on_bool(bool truth, bj::error_code&) {
        stack_.push_bool(truth);
        return true;
    }
    bool on_null(bj::error_code&) {
        stack_.push_null();
        return true;
    }
    bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
    bool on_comment(bj::string_view, bj::error_code&) { return true; }

private:
    bj::value_stack stack_;
    std::size_t members_max_;
    std::size_t members_ = 0;
};

// Recursion is bounded by depth_max.
std::size_t count_members(const bj::value& tree) noexcept {
    std::size_t count = 0;
    if (const auto* object = tree.if_object()) {
        count = object->size();
        for (const auto& member : *object) {
            count += count_members(member.value());
        }
    } else if (const auto* array = tree.if_array()) {
        for (const auto& item : *array) {
            count += count_members(item);
        }
    }
    return count;
}

error malformed(const std::string& why) {
    return {errc::malformed_json, "The body is not acceptable JSON: " + why + "."};
}

// Texts of our own: Boost's differ between versions, and a client may come to rely on them.
std::string explain(const bj::error_code& ec, std::size_t offset) {
    const auto at = " at byte " + std::to_string(offset);
    if (ec == bj::error::too_deep) {
        return "nested too deeply" + at;
    }
    if (ec == bj::error::incomplete) {
        return "it ends too early";
    }
    if (ec == bj::error::extra_data) {
        return "something follows the value" + at;
    }
    if (ec == bj::error::object_too_large) {
        return "an object has too many members" + at;
    }
    if (ec == bj::error::exponent_overflow) {
        return "a number is too large" + at;
    }
    return "syntax error" + at;
}

}  // namespace

result<json_document> parse_json(std::string_view text, const json_limits& limits) {
    bj::parse_options options;
    options.max_depth = limits.depth_max;
    bj::basic_parser<tree_handler> parser(options, limits.members_max);
    auto& handler = parser.handler();
    // One block for the whole tree, freed at once.
    handler.reset(bj::make_shared_resource<bj::monotonic_resource>());
    bj::error_code ec;
    const auto used = parser.write_some(false, text.data(), text.size(), ec);
    if (!ec && used < text.size()) {
        ec = bj::error::extra_data;
    }
    if (ec) {
        return malformed(explain(ec, used));
    }
    auto tree = handler.release();
    if (count_members(tree) != handler.members()) {
        return malformed("an object has two members of the same name");
    }
    return tree;
}

std::string to_json_text(const bj::value& tree) {
    return bj::serialize(tree);
}

}  // namespace insula
