#include "insula/runtime/address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>

namespace insula::runtime {

namespace {

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, port);
    if (text.empty() || problem != std::errc() || stop != end) {
        return std::nullopt;
    }
    return port;
}

}  // namespace

std::optional<address> address::parse(std::string_view text) {
    constexpr std::string_view unix_prefix = "unix:";
    address out;
    if (text.starts_with(unix_prefix)) {
        out.family = family_type::unix_path;
        out.path = text.substr(unix_prefix.size());
        sockaddr_storage storage;
        if (out.path.empty() || out.to(storage) == 0) {
            return std::nullopt;
        }
        return out;
    }
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return std::nullopt;
    }
    const auto port = parse_port(text.substr(colon + 1));
    auto host = std::string(text.substr(0, colon));
    if (!port) {
        return std::nullopt;
    }
    out.port = *port;
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
        if (const auto percent = host.find('%'); percent != std::string::npos) {
            out.scope = ::if_nametoindex(host.c_str() + percent + 1);
            host.resize(percent);
            if (out.scope == 0) {
                return std::nullopt;
            }
        }
        out.family = family_type::ipv6;
        return ::inet_pton(AF_INET6, host.c_str(), out.bytes.data()) == 1 ? std::optional(out)
                                                                          : std::nullopt;
    }
    out.family = family_type::ipv4;
    return ::inet_pton(AF_INET, host.c_str(), out.bytes.data()) == 1 ? std::optional(out)
                                                                     : std::nullopt;
}

address address::from(const sockaddr_storage& storage, socklen_t size) {
    address out;
    if (storage.ss_family == AF_INET && size >= sizeof(sockaddr_in)) {
        const auto& in = reinterpret_cast<const sockaddr_in&>(storage);
        out.family = family_type::ipv4;
        out.port = ntohs(in.sin_port);
        std::memcpy(out.bytes.data(), &in.sin_addr, sizeof in.sin_addr);
    } else if (storage.ss_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
        const auto& in = reinterpret_cast<const sockaddr_in6&>(storage);
        out.family = family_type::ipv6;
        out.port = ntohs(in.sin6_port);
        out.scope = in.sin6_scope_id;
        std::memcpy(out.bytes.data(), &in.sin6_addr, sizeof in.sin6_addr);
    } else if (storage.ss_family == AF_UNIX) {
        const auto& un = reinterpret_cast<const sockaddr_un&>(storage);
        out.family = family_type::unix_path;
        constexpr auto header = offsetof(sockaddr_un, sun_path);
        if (size > header && un.sun_path[0] != '\0') {
            out.path.assign(un.sun_path, ::strnlen(un.sun_path, size - header));
        }
    }
    return out;
}

address address::local_of(int fd) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    return ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) == 0
               ? from(storage, size)
               : address{};
}

address address::remote_of(int fd) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    return ::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) == 0
               ? from(storage, size)
               : address{};
}

socklen_t address::to(sockaddr_storage& storage) const {
    std::memset(&storage, 0, sizeof storage);
    switch (family) {
        case family_type::ipv4: {
            auto& in = reinterpret_cast<sockaddr_in&>(storage);
            in.sin_family = AF_INET;
            in.sin_port = htons(port);
            std::memcpy(&in.sin_addr, bytes.data(), sizeof in.sin_addr);
            return sizeof in;
        }
        case family_type::ipv6: {
            auto& in = reinterpret_cast<sockaddr_in6&>(storage);
            in.sin6_family = AF_INET6;
            in.sin6_port = htons(port);
            in.sin6_scope_id = scope;
            std::memcpy(&in.sin6_addr, bytes.data(), sizeof in.sin6_addr);
            return sizeof in;
        }
        case family_type::unix_path: {
            auto& un = reinterpret_cast<sockaddr_un&>(storage);
            if (path.size() >= sizeof un.sun_path) {
                return 0;
            }
            un.sun_family = AF_UNIX;
            std::memcpy(un.sun_path, path.data(), path.size());
            return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
        }
        case family_type::none:
            break;
    }
    return 0;
}

int address::socket_family() const {
    switch (family) {
        case family_type::ipv4:
            return AF_INET;
        case family_type::ipv6:
            return AF_INET6;
        case family_type::unix_path:
            return AF_UNIX;
        case family_type::none:
            break;
    }
    return AF_UNSPEC;
}

std::string address::host() const {
    char text[INET6_ADDRSTRLEN] = "";
    if (family == family_type::ipv4) {
        ::inet_ntop(AF_INET, bytes.data(), text, sizeof text);
    } else if (family == family_type::ipv6) {
        ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
    } else {
        return path;
    }
    return text;
}

std::string address::str() const {
    char interface[IF_NAMESIZE] = "";
    switch (family) {
        case family_type::ipv4:
            return fmt::format("{}:{}", host(), port);
        case family_type::ipv6:
            if (scope != 0 && ::if_indextoname(scope, interface) != nullptr) {
                return fmt::format("[{}%{}]:{}", host(), interface, port);
            }
            return fmt::format("[{}]:{}", host(), port);
        case family_type::unix_path:
            return "unix:" + path;
        case family_type::none:
            break;
    }
    return "none";
}

}  // namespace insula::runtime
