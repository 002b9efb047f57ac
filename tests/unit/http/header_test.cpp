// The guard reads headers itself, and Beast only those of messages with a body. So whatever the
// guard takes Beast must take as well, and understand the same: no bodiless request gets past here
// that Beast would have refused.
#include "framing_cases.hpp"
#include "http/guard.hpp"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace insula::http::test {
namespace {

namespace beast_http = boost::beast::http;

struct understood {
    std::string method;
    std::string target;
    bool http11 = false;
    bool chunked = false;
    std::uint64_t content_length = 0;
    std::vector<std::pair<std::string, std::string>> fields;

    bool operator==(const understood&) const = default;
};

void PrintTo(const understood& u, std::ostream* out) {
    *out << u.method << ' ' << u.target << (u.http11 ? " 1.1" : " 1.0") << " chunked=" << u.chunked
         << " length=" << u.content_length << ' ' << testing::PrintToString(u.fields);
}

/// The header at the start of the octets, when the guard takes one.
std::optional<std::string> header_of(const std::string& bytes) {
    header_scanner scanner;
    const auto found = scanner.scan(bytes, case_header_bytes_max);
    if (found.why != refusal::none || found.size == 0)
        return std::nullopt;
    return bytes.substr(0, found.size);
}

std::optional<understood> by_guard(const std::string& header) {
    message_head head;
    std::vector<field> fields;
    if (parse_header(header, 100, head, fields) != refusal::none)
        return std::nullopt;
    understood u{std::string(head.method),
                 std::string(head.target),
                 head.http11,
                 head.chunked,
                 head.content_length,
                 {}};
    for (const auto& f : fields)
        u.fields.emplace_back(f.name, f.value);
    return u;
}

std::optional<understood> by_beast(const std::string& header) {
    beast_http::request_parser<beast_http::string_body> parser;
    parser.body_limit(boost::none);
    boost::beast::error_code ec;
    const auto used = parser.put(boost::asio::buffer(header), ec);
    if (ec || used != header.size() || !parser.is_header_done())
        return std::nullopt;
    const auto& message = parser.get();
    understood u{std::string(message.method_string()),
                 std::string(message.target()),
                 message.version() == 11,
                 parser.chunked(),
                 parser.content_length().value_or(0),
                 {}};
    for (const auto& f : message)
        u.fields.emplace_back(std::string(f.name_string()), std::string(f.value()));
    return u;
}

/// Fields of one name stand together in Beast's container.
understood sorted(understood u) {
    std::sort(u.fields.begin(), u.fields.end());
    return u;
}

/// One of the fields that both have rules for, more often wrong than right.
std::string field_with_rules(std::mt19937& random) {
    static const std::vector<std::string> names{"Connection",
                                                "Proxy-Connection",
                                                "connection",
                                                "Content-Length",
                                                "Transfer-Encoding",
                                                "Upgrade",
                                                "Expect",
                                                "Host",
                                                "X"};
    static const std::vector<std::string> values{
        "close",        "keep-alive", ",", ", close ,", "close,,x", "a b",   "\"q\"", "a;b=c",
        "chunked",      "0",          "7", "",          " \t",      "x,\ty", "@",     "close\x01",
        "gzip, chunked"};
    const auto pick = [&](const auto& of) {
        return of[std::uniform_int_distribution<std::size_t>(0, of.size() - 1)(random)];
    };
    return pick(names) + ":" + pick(values) + "\r\n";
}

std::string mutate(std::string header, std::mt19937& random) {
    const auto pick = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    for (auto changes = pick(3); changes > 0 && !header.empty(); --changes)
        header[pick(header.size())] = static_cast<char>(pick(256));
    for (auto more = pick(3); more > 0; --more) {
        const auto line = header.find("\r\n", pick(header.size()));
        if (line != std::string::npos && line + 2 <= header.size())
            header.insert(line + 2, field_with_rules(random));
    }
    return header;
}

TEST(http_header, G60_whatever_is_taken_beast_takes_and_understands_the_same) {
    std::mt19937 random(20261123);
    std::size_t taken = 0;
    for (int round = 0; round < 300; ++round) {
        for (const auto& c : framing_cases()) {
            const auto header = header_of(round == 0 ? c.bytes : mutate(c.bytes, random));
            if (!header)
                continue;
            const auto ours = by_guard(*header);
            if (!ours)
                continue;
            ++taken;
            const auto theirs = by_beast(*header);
            ASSERT_TRUE(theirs) << testing::PrintToString(*header);
            ASSERT_EQ(sorted(*ours), sorted(*theirs)) << testing::PrintToString(*header);
        }
    }
    EXPECT_GT(taken, 2000u);  // or the mutations leave nothing to compare
}

TEST(http_header, options_of_connection_are_found_in_every_field_and_place) {
    const auto says = [](const std::string& fields) {
        message_head head;
        std::vector<field> found;
        const auto why =
            parse_header("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n", 100, head, found);
        return why != refusal::none
                   ? std::string("refused")
                   : std::string(head.says_close ? "c" : "") + (head.says_keep_alive ? "k" : "");
    };
    EXPECT_EQ(says(""), "");
    EXPECT_EQ(says("Connection: x, , Close\r\n"), "c");
    EXPECT_EQ(says("Connection: x\r\nConnection:keep-alive\r\nconnection: close\r\n"), "ck");
    EXPECT_EQ(says("Proxy-Connection: close\r\n"), "");
    EXPECT_EQ(says("Connection: closed\r\n"), "");
    EXPECT_EQ(says("Connection: clo se\r\n"), "refused");
    EXPECT_EQ(says("Proxy-Connection: \"close\"\r\n"), "refused");
}

}  // namespace
}  // namespace insula::http::test
