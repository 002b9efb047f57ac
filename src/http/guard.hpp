#pragma once
// The framing guard: reads the header, and refuses every message about whose end two parties could
// disagree (RFC 9112, FACTS.md 5). A body that follows is taken apart by Beast's parser, which has
// then read the header as well and must have understood the same (reader.cpp).

#include "insula/http/request.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace insula::http {

/// Why a message is not answered normally. Each has one status (see refusal_error); all of them end
/// the connection.
enum class refusal : std::uint8_t {
    none,
    malformed,         // 400
    timeout,           // 408
    body_too_large,    // 413
    target_too_long,   // 414
    expectation,       // 417
    header_too_large,  // 431
    unknown_coding,    // 501
    no_room,           // 503: the bodies of other requests take all the memory there is for them
};

/// Finds the end of a header while it arrives, octet by octet if need be, and refuses what can
/// never become one.
class header_scanner {
public:
    struct found {
        refusal why = refusal::none;
        std::size_t size = 0;  // of the header with its empty line; 0: not complete yet
    };
    /// `data` is everything since the start of the message; it only grows between calls.
    found scan(std::string_view data, std::size_t bytes_max) noexcept;
    void reset() noexcept { *this = {}; }

private:
    std::size_t line_ = 0;     // where the current line starts
    std::size_t scanned_ = 0;  // no line feed before this
};

/// What a header says, as views of it.
struct message_head {
    std::string_view method;
    std::string_view target;
    bool http11 = false;
    bool expects_continue = false;
    bool chunked = false;
    // Options of all Connection fields.
    bool says_close = false;
    bool says_keep_alive = false;
    std::uint64_t content_length = 0;  // 0 as well where there is none

    bool has_body() const noexcept { return chunked || content_length > 0; }
};

/// A complete header, from the method to the empty line: the request line, every field line,
/// exactly one framing source, Host, Expect, Connection. Appends the fields; after a refusal both
/// outputs mean nothing.
refusal parse_header(std::string_view header, std::size_t fields_max, message_head& head,
                     std::vector<field>& fields);

/// Follows the chunked coding over the octets of a body as they arrive. Extensions are allowed,
/// validated and bounded; trailers are refused.
class chunk_guard {
public:
    struct bounds {
        std::uint64_t body_bytes_max;
        std::size_t line_bytes_max;
        std::size_t overhead_bytes_max;
    };
    explicit chunk_guard(bounds b) noexcept : bounds_(b) {}

    struct progress {
        refusal why = refusal::none;
        std::size_t taken = 0;  // octets that belong to this message
        std::size_t whole =
            0;  // of these, those up to the last complete chunk line, data octet or end
        bool done = false;
    };
    progress feed(std::string_view data) noexcept;

private:
    enum class state : std::uint8_t {
        size_first,
        size,
        ext_before_name,
        ext_name,
        ext_after_name,
        ext_before_value,
        ext_token,
        ext_quoted,
        ext_escape,
        ext_after_value,
        line_feed,
        data,
        data_cr,
        data_lf,
        last_cr,
        last_lf,
        done
    };
    refusal step(unsigned char c) noexcept;
    refusal extension(unsigned char c) noexcept;
    refusal end_of_line() noexcept;
    refusal count_line_octet() noexcept;

    bounds bounds_;
    state state_ = state::size_first;
    std::uint64_t size_ = 0;  // of the current chunk, then what is left of it
    std::uint64_t body_ = 0;
    std::uint64_t overhead_ = 0;
    std::size_t line_ = 0;
    unsigned digits_ = 0;
};

bool is_token(std::string_view text) noexcept;
bool iequals(std::string_view a, std::string_view b) noexcept;
std::string_view trim_ows(std::string_view text) noexcept;
bool valid_host(std::string_view host) noexcept;

}  // namespace insula::http
