#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace insula::runtime {

// Where a socket is bound or connected: IPv4, IPv6 or a Unix path. No name look-up anywhere here
// (it blocks; use the CPU pool).
struct address {
    enum class family_type : std::uint8_t { none, ipv4, ipv6, unix_path };

    family_type family = family_type::none;
    std::uint16_t port = 0;                // host order
    std::uint32_t scope = 0;               // IPv6 link-local interface
    std::array<std::uint8_t, 16> bytes{};  // network order; the first four for IPv4
    std::string path;                      // Unix only; may be empty (unnamed peer)

    // "127.0.0.1:8080", "[::1]:80", "unix:/run/insula.sock". Numbers only.
    static std::optional<address> parse(std::string_view text);
    static address from(const sockaddr_storage& storage, socklen_t size);
    static address local_of(int fd);
    static address remote_of(int fd);

    // Fills the storage; its length. 0 when the path is too long for a Unix socket (108 bytes).
    socklen_t to(sockaddr_storage& storage) const;
    int socket_family() const;

    std::string host() const;  // without the port: "127.0.0.1", "::1", the path
    std::string str() const;   // what parse() takes
    bool operator==(const address&) const = default;
};

}  // namespace insula::runtime
