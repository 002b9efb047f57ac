#include "http/reader.hpp"

#include "framing_cases.hpp"
#include "reader_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace insula::http::test {
namespace {

/// A few octets of a case replaced, doubled, dropped, or swapped for ones that matter to framing.
std::string mutate(std::string bytes, std::mt19937& random) {
    static constexpr std::string_view telling("\r\n \t:;,=\"0aF\0\x7f\xff", 15);
    const auto pick = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    for (auto changes = 1 + pick(3); changes > 0 && !bytes.empty(); --changes) {
        const auto at = pick(bytes.size());
        switch (pick(4)) {
            case 0:
                bytes[at] = telling[pick(telling.size())];
                break;
            case 1:
                bytes.insert(at, 1, telling[pick(telling.size())]);
                break;
            case 2:
                bytes.erase(at, 1 + pick(4));
                break;
            default:
                bytes.insert(at, bytes.substr(at, 1 + pick(12)));
                break;
        }
    }
    return bytes;
}

TEST(http_reader, G63_mutated_requests_get_the_same_answers_whole_and_by_octets) {
    std::mt19937 random(20261123);
    for (int round = 0; round < 100; ++round) {
        for (const auto& c : framing_cases()) {
            const auto bytes = mutate(c.bytes, random);
            const auto whole = reader_run().feed(bytes, std::string::npos);
            const auto octets = reader_run().feed(bytes, 1);
            ASSERT_EQ(whole.statuses, octets.statuses) << testing::PrintToString(bytes);
            ASSERT_EQ(whole.bodies, octets.bodies) << testing::PrintToString(bytes);
            ASSERT_EQ(whole.closed, octets.closed) << testing::PrintToString(bytes);
        }
    }
}

class http_framing : public testing::TestWithParam<framing_case> {};

TEST_P(http_framing, G60_gives_the_expected_answers) {
    const auto& c = GetParam();
    const auto out = reader_run().feed(c.bytes, std::string::npos);
    EXPECT_EQ(out.statuses, c.statuses);
    EXPECT_EQ(out.closed, c.closed);
}

TEST_P(http_framing, G60_gives_the_same_answers_in_slices_of_any_size) {
    const auto& c = GetParam();
    for (const std::size_t slice : {1u, 2u, 3u, 5u, 7u, 64u}) {
        const auto out = reader_run().feed(c.bytes, slice);
        EXPECT_EQ(out.statuses, c.statuses) << "slice " << slice;
        EXPECT_EQ(out.closed, c.closed) << "slice " << slice;
    }
}

TEST_P(http_framing, G60_gives_the_same_answers_cut_in_two_anywhere) {
    const auto& c = GetParam();
    for (std::size_t cut = 1; cut < c.bytes.size(); ++cut) {
        reader_run run;
        (void)run.feed(std::string_view(c.bytes).substr(0, cut), std::string::npos);
        const auto out = run.feed(std::string_view(c.bytes).substr(cut), std::string::npos);
        ASSERT_EQ(out.statuses, c.statuses) << "cut at " << cut;
        ASSERT_EQ(out.closed, c.closed) << "cut at " << cut;
    }
}

INSTANTIATE_TEST_SUITE_P(rfc9112, http_framing, testing::ValuesIn(framing_cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(http_reader, gives_bodies_without_their_framing) {
    const std::string head = "POST /ok HTTP/1.1\r\nHost: a\r\n";
    const auto bytes = head + "Content-Length: 3\r\n\r\nabc" + head +
                       "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n3\r\nfgh\r\n0\r\n\r\n" +
                       head + "Content-Length: 2\r\n\r\n\r\n";
    for (const std::size_t slice : {1u, 4u, 1000u}) {
        EXPECT_THAT(reader_run().feed(bytes, slice).bodies,
                    testing::ElementsAre("abc", "defgh", "\r\n"));
    }
}

TEST(http_reader, G65_refuses_the_field_beyond_the_limit) {
    limits l;
    l.fields_max = 3;
    const auto ask = [&](std::size_t fields) {
        std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n";
        for (std::size_t i = 1; i < fields; ++i)
            bytes += "X: y\r\n";
        bytes += "\r\n";
        message_head head;
        std::vector<field> found;
        return parse_header(bytes, l.fields_max, head, found);
    };
    EXPECT_EQ(ask(3), refusal::none);
    EXPECT_EQ(ask(4), refusal::header_too_large);
}

TEST(http_reader, G65_header_limit_is_exact) {
    const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    for (const std::size_t size : {999u, 1000u, 1001u}) {
        const auto bytes = start + std::string(size - start.size() - 4, 'x') + "\r\n\r\n";
        ASSERT_EQ(bytes.size(), size);
        header_scanner scanner;
        const auto found = scanner.scan(bytes, 1000);
        EXPECT_EQ(found.why, size <= 1000 ? refusal::none : refusal::header_too_large) << size;
        EXPECT_EQ(found.size, size <= 1000 ? size : 0) << size;
    }
}

chunk_guard::bounds roomy() {
    return {1 << 20, 256, 1024};
}

TEST(http_chunk_guard, G61_bounds_the_framing_of_many_tiny_chunks) {
    chunk_guard guard(roomy());
    refusal why = refusal::none;
    std::size_t sent = 0;
    while (why == refusal::none && sent < 100'000) {
        why = guard.feed("1\r\nx\r\n").why;
        sent += 6;
    }
    EXPECT_EQ(why, refusal::malformed);
    EXPECT_LT(sent, 2'000u);
}

TEST(http_chunk_guard, G61_lets_ordinary_chunks_pass_for_long) {
    chunk_guard guard(roomy());
    const std::string chunk = "1000\r\n" + std::string(4096, 'x') + "\r\n";
    for (int i = 0; i < 256; ++i)
        ASSERT_EQ(guard.feed(chunk).why, refusal::none) << i;
    EXPECT_EQ(guard.feed(chunk).why, refusal::body_too_large);
}

TEST(http_chunk_guard, knows_where_the_message_ends) {
    chunk_guard guard(roomy());
    const auto p = guard.feed("3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1");
    EXPECT_TRUE(p.done);
    EXPECT_EQ(p.taken, 13u);
    EXPECT_EQ(p.whole, 13u);
}

TEST(http_chunk_guard, holds_back_half_of_a_chunk_line) {
    chunk_guard guard(roomy());
    const auto p = guard.feed("3\r\nabc\r\n0\r");
    EXPECT_FALSE(p.done);
    EXPECT_EQ(p.taken, 10u);
    EXPECT_EQ(p.whole, 6u);
}

}  // namespace
}  // namespace insula::http::test
