#pragma once
// Part of router.hpp: the trie that a table of routes becomes at compile time.

namespace insula::http {

namespace detail {

inline constexpr std::size_t segments_max = 10;
inline constexpr std::int16_t no_index = -1;

constexpr bool literal_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/// Calling one of these in a constant expression is the compile error; the name is the message.
inline void route_pattern_is_malformed() {}
inline void route_is_declared_twice() {}
inline void route_method_is_not_routable() {}
inline void route_has_too_many_parameters() {}

struct route_node {
    std::string_view literal;
    std::int16_t first_child = no_index;
    std::int16_t next_sibling = no_index;
    std::int16_t parameter_child = no_index;
    std::uint8_t mask = 0;
    std::array<std::int16_t, routed_methods> rows{no_index, no_index, no_index, no_index, no_index};
};

}  // namespace detail

template <class Endpoint, std::size_t N>
class router {
public:
    using row = route_row<Endpoint>;

    consteval explicit router(const std::array<row, N>& rows) : rows_(rows) {
        for (std::size_t i = 0; i < N; ++i)
            insert(i);
    }

    static constexpr std::size_t size() noexcept { return N; }
    constexpr const row& operator[](std::size_t index) const noexcept { return rows_[index]; }
    constexpr std::span<const row, N> rows() const noexcept { return rows_; }

    /// `path` is canonical: it starts with '/', no empty or dot segments. Costs one comparison per
    /// literal child on the way down; allocates nothing.
    constexpr route_match match(http::method m, std::string_view path) const noexcept {
        route_match found;
        std::array<std::string_view, detail::segments_max> segments;
        std::size_t count = 0;
        if (!split(path, segments, count))
            return found;
        const auto at = descend(0, std::span(segments).first(count), found.params, 0);
        if (at == detail::no_index)
            return found;
        const auto& node = nodes_[static_cast<std::size_t>(at)];
        found.allow = allow_value(node.mask);
        const auto routed = m == method::head ? method::get : m;
        if (static_cast<std::size_t>(routed) >= routed_methods)
            return found;
        const auto index = node.rows[static_cast<std::size_t>(routed)];
        if (index == detail::no_index)
            return found;
        found.index = static_cast<std::size_t>(index);
        found.route = &rows_[found.index];
        return found;
    }

private:
    static constexpr std::size_t nodes_max = N * detail::segments_max + 1;

    static constexpr bool split(std::string_view path,
                                std::array<std::string_view, detail::segments_max>& out,
                                std::size_t& count) noexcept {
        if (path.empty() || path.front() != '/')
            return false;
        path.remove_prefix(1);
        while (!path.empty()) {
            if (count == out.size())
                return false;
            const auto slash = path.find('/');
            out[count++] = path.substr(0, slash);
            if (slash == std::string_view::npos)
                return true;
            path.remove_prefix(slash + 1);
            if (path.empty())
                return false;  // a trailing slash names nothing
        }
        return true;
    }

    constexpr std::int16_t descend(std::int16_t at, std::span<const std::string_view> rest,
                                   path_params& params, std::size_t used) const noexcept {
        const auto& node = nodes_[static_cast<std::size_t>(at)];
        if (rest.empty())
            return node.mask != 0 ? at : detail::no_index;
        for (auto child = node.first_child; child != detail::no_index;
             child = nodes_[static_cast<std::size_t>(child)].next_sibling) {
            if (nodes_[static_cast<std::size_t>(child)].literal != rest.front())
                continue;
            const auto found = descend(child, rest.subspan(1), params, used);
            if (found != detail::no_index)
                return found;
            break;
        }
        if (node.parameter_child == detail::no_index || used == params.size())
            return detail::no_index;
        const auto found = descend(node.parameter_child, rest.subspan(1), params, used + 1);
        if (found != detail::no_index)
            params[used] = rest.front();
        return found;
    }

    consteval void insert(std::size_t index) {
        const auto& r = rows_[index];
        if (static_cast<std::size_t>(r.method) >= routed_methods)
            detail::route_method_is_not_routable();
        std::array<std::string_view, detail::segments_max> segments;
        std::size_t count = 0;
        if (!split(r.pattern, segments, count))
            detail::route_pattern_is_malformed();
        std::size_t at = 0;
        std::size_t params = 0;
        for (std::size_t i = 0; i < count; ++i) {
            at = is_parameter(segments[i]) ? parameter_of(at) : literal_of(at, segments[i]);
            if (is_parameter(segments[i]) && ++params > path_params_max)
                detail::route_has_too_many_parameters();
        }
        auto& slot = nodes_[at].rows[static_cast<std::size_t>(r.method)];
        if (slot != detail::no_index)
            detail::route_is_declared_twice();
        slot = static_cast<std::int16_t>(index);
        nodes_[at].mask =
            static_cast<std::uint8_t>(nodes_[at].mask | (1u << static_cast<unsigned>(r.method)));
    }

    static consteval bool is_parameter(std::string_view segment) {
        if (segment.empty())
            detail::route_pattern_is_malformed();
        if (segment.front() != '{') {
            for (const char c : segment)
                if (!detail::literal_character(c))
                    detail::route_pattern_is_malformed();
            return false;
        }
        if (segment.size() < 3 || segment.back() != '}')
            detail::route_pattern_is_malformed();
        for (const char c : segment.substr(1, segment.size() - 2))
            if ((c < 'a' || c > 'z') && c != '_')
                detail::route_pattern_is_malformed();
        return true;
    }

    consteval std::size_t parameter_of(std::size_t parent) {
        if (nodes_[parent].parameter_child == detail::no_index)
            nodes_[parent].parameter_child = add({});
        return static_cast<std::size_t>(nodes_[parent].parameter_child);
    }

    consteval std::size_t literal_of(std::size_t parent, std::string_view literal) {
        for (auto child = nodes_[parent].first_child; child != detail::no_index;
             child = nodes_[static_cast<std::size_t>(child)].next_sibling)
            if (nodes_[static_cast<std::size_t>(child)].literal == literal)
                return static_cast<std::size_t>(child);
        const auto child = add(literal);
        nodes_[static_cast<std::size_t>(child)].next_sibling = nodes_[parent].first_child;
        nodes_[parent].first_child = child;
        return static_cast<std::size_t>(child);
    }

    consteval std::int16_t add(std::string_view literal) {
        nodes_[used_].literal = literal;
        return static_cast<std::int16_t>(used_++);
    }

    std::array<row, N> rows_;
    std::array<detail::route_node, nodes_max> nodes_{};
    std::size_t used_ = 1;
};

template <class Endpoint, std::size_t N>
router(const std::array<route_row<Endpoint>, N>&) -> router<Endpoint, N>;

}  // namespace insula::http
