#include "http/reader.hpp"

#include "framing_cases.hpp"
#include "http/refusal.hpp"
#include "http/target.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

namespace insula::http::test {
namespace {

struct transcript {
    std::vector<unsigned> statuses;
    std::vector<std::string> bodies;
    bool closed = false;
};

limits case_limits() {
    limits l;
    l.header_bytes_max = case_header_bytes_max;
    l.body_bytes_max = case_body_bytes_max;
    return l;
}

/// What a session does with a reader, without sockets: octets in slices, statuses out.
class reader_run {
public:
    transcript feed(std::string_view bytes, std::size_t slice) {
        drain();
        while (!bytes.empty() && !out_.closed) {
            const auto room = reader_.prepare();
            const auto n = std::min({bytes.size(), slice, room.size()});
            std::memcpy(room.data(), bytes.data(), n);
            reader_.commit(n);
            bytes.remove_prefix(n);
            drain();
        }
        return out_;
    }

private:
    void drain() {
        while (!out_.closed) {
            switch (reader_.advance()) {
                case request_reader::step::need_more:
                    return;
                case request_reader::step::head:
                    head();
                    break;
                case request_reader::step::message:
                    out_.statuses.push_back(status_);
                    out_.bodies.emplace_back(reader_.body());
                    out_.closed = out_.closed || !reader_.keep_alive();
                    if (!out_.closed)
                        reader_.next();
                    break;
                case request_reader::step::refused:
                    out_.statuses.push_back(make_refusal(reader_.why(), "id").status());
                    out_.closed = true;
                    break;
            }
        }
    }
    void head() {
        const auto target = split(reader_.target(), reader_.method_token() == "OPTIONS");
        if (target.form == target_form::malformed) {
            out_.statuses.push_back(400);
            out_.closed = true;
            return;
        }
        status_ = target.form == target_form::asterisk ? 204 : 200;
        reader_.accept_body(limits_.body_bytes_max, true);
    }

    limits limits_ = case_limits();
    request_reader reader_{limits_};
    transcript out_;
    unsigned status_ = 200;
};

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
        return check_header(bytes, l.fields_max);
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
