#include "insula/http/client_address.hpp"

#include "http/guard.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace insula::http {
namespace {

std::string print(int family, const void* bytes) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    return inet_ntop(family, bytes, text.data(), text.size()) != nullptr ? std::string(text.data())
                                                                         : std::string();
}

std::optional<unsigned> parse_bits(std::string_view text, unsigned bits_max) {
    unsigned bits = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), bits);
    if (ec != std::errc() || end != text.data() + text.size() || bits > bits_max)
        return std::nullopt;
    return bits;
}

/// An address as proxies write it: with or without port, IPv6 in brackets, in quotes for Forwarded.
std::optional<ip_address> parse_node(std::string_view node) {
    node = trim_ows(node);
    if (node.size() >= 2 && node.front() == '"' && node.back() == '"')
        node = node.substr(1, node.size() - 2);
    if (!node.empty() && node.front() == '[') {
        const auto close = node.find(']');
        return close == std::string_view::npos ? std::nullopt
                                               : ip_address::parse(node.substr(1, close - 1));
    }
    // One colon: an IPv4 address and its port. More: a bare IPv6 address (X-Forwarded-For).
    if (std::count(node.begin(), node.end(), ':') == 1)
        node = node.substr(0, node.find(':'));
    return ip_address::parse(node);
}

/// `for=` of one forwarded-element.
std::optional<ip_address> parse_element(std::string_view element) {
    while (!element.empty()) {
        const auto end = element.find(';');
        const auto pair = trim_ows(element.substr(0, end));
        if (pair.size() > 4 && iequals(pair.substr(0, 4), "for="))
            return parse_node(pair.substr(4));
        element.remove_prefix(end == std::string_view::npos ? element.size() : end + 1);
    }
    return std::nullopt;
}

/// The last comma outside quotes splits; npos when there is none.
std::size_t last_comma(std::string_view list) noexcept {
    bool quoted = false;
    for (std::size_t i = list.size(); i > 0; --i) {
        if (list[i - 1] == '"')
            quoted = !quoted;
        if (list[i - 1] == ',' && !quoted)
            return i - 1;
    }
    return std::string_view::npos;
}

/// From the nearest hop to the left, while it is a proxy of ours.
ip_address walk(ip_address client, std::string_view list,
                std::optional<ip_address> (*parse)(std::string_view),
                const trusted_proxies& trusted) {
    while (!list.empty() && trusted.contains(client)) {
        const auto comma = last_comma(list);
        const auto hop = trim_ows(comma == std::string_view::npos ? list : list.substr(comma + 1));
        const auto before = parse(hop);
        if (!before)
            break;
        client = *before;
        list = comma == std::string_view::npos ? std::string_view() : list.substr(0, comma);
    }
    return client;
}

}  // namespace

std::optional<ip_address> ip_address::parse(std::string_view text) {
    std::array<char, INET6_ADDRSTRLEN> copy{};
    if (text.empty() || text.size() >= copy.size())
        return std::nullopt;
    std::memcpy(copy.data(), text.data(), text.size());
    ip_address a;
    if (inet_pton(AF_INET, copy.data(), a.bytes.data()) == 1)
        return a;
    if (inet_pton(AF_INET6, copy.data(), a.bytes.data()) != 1)
        return std::nullopt;
    static constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (std::equal(mapped.begin(), mapped.end(), a.bytes.begin())) {
        ip_address v4;
        std::copy_n(a.bytes.begin() + 12, 4, v4.bytes.begin());
        return v4;
    }
    a.v6 = true;
    return a;
}

std::string ip_address::str() const {
    return print(v6 ? AF_INET6 : AF_INET, bytes.data());
}

std::string ip_address::key() const {
    if (!v6)
        return str();
    auto network = bytes;
    std::fill(network.begin() + 8, network.end(), std::uint8_t{0});
    return print(AF_INET6, network.data()) + "/64";
}

result<trusted_proxies> trusted_proxies::parse(std::span<const std::string> networks) {
    trusted_proxies all;
    for (const std::string_view text : networks) {
        const auto slash = text.find('/');
        const auto address = ip_address::parse(text.substr(0, slash));
        if (!address)
            return error(errc::internal, {},
                         "trusted proxy is not an address: " + std::string(text));
        const unsigned bits_max = address->v6 ? 128 : 32;
        const auto bits = slash == std::string_view::npos
                              ? std::optional(bits_max)
                              : parse_bits(text.substr(slash + 1), bits_max);
        if (!bits)
            return error(errc::internal, {},
                         "trusted proxy has a wrong prefix length: " + std::string(text));
        all.networks_.push_back({*address, *bits});
    }
    return all;
}

bool trusted_proxies::contains(const ip_address& a) const noexcept {
    return std::any_of(networks_.begin(), networks_.end(), [&](const network& n) {
        if (n.address.v6 != a.v6)
            return false;
        const auto whole = n.bits / 8;
        if (!std::equal(a.bytes.begin(), a.bytes.begin() + whole, n.address.bytes.begin()))
            return false;
        if (n.bits % 8 == 0)
            return true;
        const auto mask = static_cast<std::uint8_t>(0xff << (8 - n.bits % 8));
        return ((a.bytes[whole] ^ n.address.bytes[whole]) & mask) == 0;
    });
}

ip_address client_address(const ip_address& peer, std::string_view forwarded,
                          std::string_view x_forwarded_for, const trusted_proxies& trusted) {
    if (forwarded.empty()) {
        return walk(peer, x_forwarded_for, parse_node, trusted);
    }
    const auto client = walk(peer, forwarded, parse_element, trusted);
    // A proxy writes one of the two and lets the other through as the client sent it. Which one is
    // not known here, so neither is believed when they differ.
    if (!x_forwarded_for.empty() && walk(peer, x_forwarded_for, parse_node, trusted) != client) {
        return peer;
    }
    return client;
}

}  // namespace insula::http
