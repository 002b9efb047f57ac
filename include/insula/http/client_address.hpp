#pragma once

#include "insula/core/error.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace insula::http {

struct ip_address {
    bool v6 = false;
    std::array<std::uint8_t, 16> bytes{};  // IPv4 in the first four

    static std::optional<ip_address> parse(
        std::string_view text);  // no port, no brackets; IPv4-mapped IPv6 becomes IPv4
    std::string str() const;
    /// What limits count by: an IPv4 address whole, IPv6 by its /64 ("2001:db8:0:1::/64").
    std::string key() const;
    friend bool operator==(const ip_address&, const ip_address&) = default;
};

/// Addresses and networks ("10.0.0.0/8", "::1") whose forwarding fields are believed.
class trusted_proxies {
public:
    static result<trusted_proxies> parse(std::span<const std::string> networks);
    bool contains(const ip_address& a) const noexcept;
    bool empty() const noexcept { return networks_.empty(); }

private:
    struct network {
        ip_address address;
        unsigned bits;
    };
    std::vector<network> networks_;
};

/// The client behind `peer`: while the nearest hop is a trusted proxy, the next one to the left in
/// `forwarded` (all Forwarded values joined by ", ", RFC 7239) or, without it, in
/// `x_forwarded_for`. An unparsable hop ("unknown", "_hidden", junk) stops the walk at the proxy
/// before it. Both present and leading to different addresses: one was sent by the client itself
/// and let through, so it is the peer's.
ip_address client_address(const ip_address& peer, std::string_view forwarded,
                          std::string_view x_forwarded_for, const trusted_proxies& trusted);

}  // namespace insula::http
