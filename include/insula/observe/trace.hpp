#pragma once
// W3C Trace Context (https://www.w3.org/TR/trace-context/), the traceparent header only.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace insula::observe {

struct trace_context {
    std::array<std::uint8_t, 16> trace_id{};
    std::array<std::uint8_t, 8> span_id{};
    std::uint8_t flags = 0;

    /// Version 00 exactly, or a later version of at least its shape; nullopt for version ff, zero
    /// ids, upper case, any other length.
    [[nodiscard]] static std::optional<trace_context> parse(std::string_view traceparent) noexcept;
    /// A new trace with random ids, not sampled.
    [[nodiscard]] static trace_context start();
    /// Continues the caller's trace when its header is good, else starts one.
    [[nodiscard]] static trace_context from_header(std::string_view traceparent);
    /// The same trace, a new span.
    [[nodiscard]] trace_context child() const;

    /// "00-<32 hex>-<16 hex>-<2 hex>".
    [[nodiscard]] std::string traceparent() const;
    [[nodiscard]] std::string trace_id_hex() const;
    [[nodiscard]] std::string span_id_hex() const;
    [[nodiscard]] bool sampled() const noexcept { return (flags & 1) != 0; }

    bool operator==(const trace_context&) const = default;
};

}  // namespace insula::observe
