#include "framing_cases.hpp"
#include "test_client.hpp"
#include "test_server.hpp"

#include "insula/observe/log.hpp"

#include <boost/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

namespace insula::http::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

std::string get(std::string_view target, std::string_view fields = "") {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}
std::string message(std::string_view start, std::string_view fields, std::string_view body) {
    return std::string(start) +
           " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           std::string(fields) + "\r\n" + std::string(body);
}
std::string code_of(const received& r) {
    return std::string(boost::json::parse(r.body).at("code").as_string());
}

server_options quiet() {
    server_options o;
    o.log_requests = false;
    return o;
}

std::string name_of(const testing::TestParamInfo<runtime::backend>& info) {
    return info.param == runtime::backend::epoll ? "epoll" : "io_uring";
}

class http_session : public testing::TestWithParam<runtime::backend> {};
INSTANTIATE_TEST_SUITE_P(on, http_session, testing::ValuesIn(backends()), name_of);

TEST_P(http_session, G60_the_framing_table_over_sockets) {
    auto options = quiet();
    options.limits.header_bytes_max = case_header_bytes_max;
    options.limits.body_bytes_max = case_body_bytes_max;
    test_server server(GetParam(), options);
    for (const bool by_octets : {false, true}) {
        for (const auto& c : framing_cases()) {
            SCOPED_TRACE(std::string(c.name) + (by_octets ? " by octets" : ""));
            client peer(server.address());
            const auto bytes =
                c.closed ? c.bytes : c.bytes + get("/marker", "Connection: close\r\n");
            by_octets ? peer.send_by_octets(bytes) : peer.send(bytes);
            auto answers = peer.receive_all();
            if (!c.closed) {
                ASSERT_FALSE(answers.empty());
                EXPECT_EQ(answers.back().body, "\"marker\"");
                answers.pop_back();
            }
            std::vector<unsigned> statuses;
            for (const auto& a : answers)
                statuses.push_back(a.status);
            EXPECT_EQ(statuses, c.statuses);
        }
    }
}

TEST_P(http_session, every_answer_has_its_fields_even_those_of_the_guard) {
    auto options = quiet();
    options.limits.header_bytes_max = 2048;
    test_server server(GetParam(), options);
    for (const auto& bytes :
         {get("/ok"), get("/nowhere"), get("/throws"), get("/loses"),
          message("POST /json", "", "{}"), std::string("GET /ok HTTP/1.1\r\n\r\n"),
          get("/" + std::string(3000, 'x')), get("/a%"),
          std::string("POST /ok HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n")}) {
        const auto r = client(server.address()).ask(bytes);
        SCOPED_TRACE(r.head);
        EXPECT_EQ(r.count("X-Request-ID"), 1u);
        EXPECT_EQ(r.count("Date"), 1u);
        EXPECT_EQ(r.count("Content-Length"), 1u);
        EXPECT_EQ(r.field("X-Content-Type-Options"), "nosniff");
        EXPECT_EQ(r.field("X-Frame-Options"), "DENY");
        EXPECT_EQ(r.field("Referrer-Policy"), "no-referrer");
        EXPECT_EQ(r.field("Cache-Control"), "no-store");
        EXPECT_EQ(r.field("Content-Security-Policy"), "default-src 'none'; frame-ancestors 'none'");
        if (r.status != 200) {
            EXPECT_EQ(r.field("Content-Type"), "application/problem+json");
            EXPECT_EQ(boost::json::parse(r.body).at("request_id").as_string(),
                      *r.field("X-Request-ID"));
            EXPECT_EQ(boost::json::parse(r.body).at("status").to_number<unsigned>(), r.status);
        }
    }
}

TEST_P(http_session, routes_say_what_they_are_not) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    auto r = peer.ask(get("/nowhere"));
    EXPECT_EQ(r.status, 404u);
    EXPECT_EQ(code_of(r), "not_found");
    r = peer.ask(message("PUT /ok", "", "ignored body"));
    EXPECT_EQ(r.status, 405u);
    EXPECT_EQ(r.field("Allow"), "GET, HEAD, POST, OPTIONS");
    EXPECT_EQ(code_of(r), "method_not_allowed");
    EXPECT_EQ(peer.ask("TRACE /ok HTTP/1.1\r\nHost: a\r\n\r\n").status, 405u);
    EXPECT_EQ(peer.ask("get /ok HTTP/1.1\r\nHost: a\r\n\r\n").status, 405u);
    r = peer.ask("OPTIONS /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(r.status, 204u);
    EXPECT_EQ(r.field("Allow"), "PUT, OPTIONS");
    EXPECT_EQ(r.field("Content-Length"), std::nullopt);
    for (const auto* target :
         {"/ok/", "//ok", "/./ok", "/x/../ok", "/%2e/ok", "/x%2f..%2fok", "/o\\k"}) {
        EXPECT_EQ(peer.ask(get(target)).status, 404u) << target;
    }
    for (const auto* target : {"/ok%", "/ok%00", "/%ff", "/ok?a=%zz", "/ok?a=%ff"})
        EXPECT_EQ(peer.ask(get(target)).status, 400u) << target;
    EXPECT_EQ(peer.ask(get("/%6fk")).status, 200u);
    EXPECT_EQ(peer.ask(get("/ok?a=1&a=2")).status, 422u);
}

TEST_P(http_session, head_answers_like_get_without_the_body) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    const auto whole = peer.ask(get("/page"));
    const auto head = peer.ask("HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n", true);
    EXPECT_EQ(head.status, 200u);
    EXPECT_EQ(head.field("Content-Length"), "11");
    EXPECT_EQ(head.field("Content-Type"), whole.field("Content-Type"));
    EXPECT_EQ(head.field("Cache-Control"), "max-age=60");
    EXPECT_EQ(head.field("Content-Security-Policy"), "default-src 'self'");
    const auto missing = peer.ask("HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", true);
    EXPECT_EQ(missing.status, 404u);
    EXPECT_EQ(peer.ask(get("/empty")).status, 204u);
    EXPECT_EQ(peer.ask(get("/marker")).body, "\"marker\"")
        << "nothing of a HEAD's body is in the stream";
}

TEST_P(http_session, a_body_must_be_json_where_the_route_says_so) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    const auto post = [&](std::string_view fields, std::string_view body = "{}") {
        return peer.ask(message("POST /json", fields, body)).status;
    };
    EXPECT_EQ(post("Content-Type: application/json\r\n"), 200u);
    EXPECT_EQ(post("content-type: Application/JSON ; charset=utf-8\r\n"), 200u);
    EXPECT_EQ(post(""), 415u);
    EXPECT_EQ(post("", ""), 415u);
    EXPECT_EQ(post("Content-Type: text/plain\r\n"), 415u);
    EXPECT_EQ(post("Content-Type: application/jsonp\r\n"), 415u);
    EXPECT_EQ(post("Content-Type: application/json\r\nContent-Type: text/plain\r\n"), 415u);
    EXPECT_EQ(post("Content-Type: application/json\r\nContent-Encoding: gzip\r\n"), 415u);
    EXPECT_EQ(peer.ask(message("DELETE /json", "", "")).status, 200u);
    EXPECT_EQ(peer.ask(message("DELETE /json", "", "{}")).status, 415u);
    EXPECT_EQ(peer.ask(message("DELETE /json", "Content-Type: application/json\r\n", "{}")).status,
              200u);
}

TEST_P(http_session, content_codings_are_refused_in_every_field) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    const auto post = [&](std::string_view fields) {
        return peer
            .ask(message("POST /json", "Content-Type: application/json\r\n" + std::string(fields),
                         "{}"))
            .status;
    };
    EXPECT_EQ(post("Content-Encoding: Identity\r\n"), 200u);
    EXPECT_EQ(post("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"), 415u);
    EXPECT_EQ(post("Content-Encoding: identity, gzip\r\n"), 415u);
}

TEST_P(http_session, request_lines_of_8000_octets_are_read) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    const auto target = "/ok?a=" + std::string(8000, 'x');
    EXPECT_EQ(peer.ask(get(target)).status, 200u);
    EXPECT_EQ(peer.ask(get("/" + std::string(8000, 'x'))).status, 404u);
}

TEST_P(http_session, G65_body_limits_are_the_routes_own) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    EXPECT_EQ(peer.ask(message("PUT /small", "", "12345678")).body, "12345678");
    const auto r = peer.ask(message("PUT /small", "", "123456789"));
    EXPECT_EQ(r.status, 413u);
    EXPECT_EQ(code_of(r), "payload_too_large");
    EXPECT_EQ(r.field("Connection"), "close");
    EXPECT_TRUE(peer.at_end());
}

TEST_P(http_session, G65_the_largest_body_comes_through_and_one_octet_more_does_not) {
    test_server server(GetParam(), quiet());
    const std::string body(1024 * 1024, 'x');
    EXPECT_EQ(client(server.address()).ask(message("PUT /echo", "", body)).body, body);
    EXPECT_EQ(client(server.address()).ask(message("PUT /echo", "", body + "x")).status, 413u);
}

TEST_P(http_session, large_answers_are_written_in_parts_and_in_order) {
    test_server server(GetParam(), quiet());
    client peer(server.address(), 4096);
    peer.send(get("/large?bytes=5000000") + get("/marker") + get("/large?bytes=20000"));
    EXPECT_EQ(peer.receive()->body.size(), 5'000'000u);
    EXPECT_EQ(peer.receive()->body, "\"marker\"");
    EXPECT_EQ(peer.receive()->body, std::string(20'000, 'x'));
}

TEST_P(http_session, a_pipeline_is_answered_in_order) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    std::string all;
    for (int i = 0; i < 500; ++i)
        all += get("/inspect/" + std::to_string(i));
    peer.send(all);
    for (int i = 0; i < 500; ++i) {
        const auto r = peer.receive();
        ASSERT_TRUE(r);
        EXPECT_EQ(boost::json::parse(r->body).at("param").as_string(), std::to_string(i));
    }
}

TEST_P(http_session, expect_100_continue_is_answered_when_the_body_is_wanted) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    peer.send("PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n");
    EXPECT_EQ(peer.receive()->status, 100u);
    EXPECT_EQ(peer.ask("abc").body, "abc");

    // Not wanted: the final answer at once, and the end, since nobody can tell whether the body
    // will follow.
    peer.send(
        "PUT /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    EXPECT_EQ(peer.receive()->status, 404u);
    EXPECT_TRUE(peer.at_end());
}

TEST_P(http_session, expect_100_continue_beyond_the_limit_is_413_at_once) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    EXPECT_EQ(peer.ask("PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
                       "2000000\r\n\r\n")
                  .status,
              413u);
    EXPECT_TRUE(peer.at_end());
}

TEST_P(http_session, exceptions_become_answers_without_their_text) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    const auto bug = peer.ask(get("/throws"));
    EXPECT_EQ(bug.status, 500u);
    EXPECT_EQ(code_of(bug), "internal");
    const auto lost = peer.ask(get("/loses"));
    EXPECT_EQ(lost.status, 503u);
    EXPECT_EQ(code_of(lost), "overloaded");
    EXPECT_EQ(lost.field("Retry-After"), "1");
    const auto expected = peer.ask(get("/fails"));
    EXPECT_EQ(expected.status, 409u);
    for (const auto& r : {bug, lost, expected})
        EXPECT_THAT(r.body, Not(HasSubstr("secret")));
}

TEST_P(http_session, request_ids_are_kept_when_harmless) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    EXPECT_EQ(peer.ask(get("/ok", "X-Request-ID: a.B-c_9\r\n")).field("X-Request-ID"), "a.B-c_9");
    EXPECT_EQ(peer.ask(get("/ok", "X-Request-ID: " + std::string(64, 'a') + "\r\n"))
                  .field("X-Request-ID"),
              std::string(64, 'a'));
    for (const auto& bad :
         {std::string("a b"), std::string(65, 'a'), std::string("a<b"), std::string("")}) {
        const auto id = peer.ask(get("/ok", "X-Request-ID: " + bad + "\r\n")).field("X-Request-ID");
        EXPECT_NE(id, bad);
        EXPECT_EQ(id->size(), 32u);
    }
    EXPECT_NE(peer.ask(get("/ok")).field("X-Request-ID"),
              peer.ask(get("/ok")).field("X-Request-ID"));
}

TEST_P(http_session, traces_are_continued_with_a_span_of_our_own) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    const auto trace = [&](std::string_view fields) {
        return std::string(boost::json::parse(peer.ask(get("/inspect/1", fields)).body)
                               .at("traceparent")
                               .as_string());
    };
    const auto continued =
        trace("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
    EXPECT_THAT(continued, testing::StartsWith("00-0af7651916cd43dd8448eb211c80319c-"));
    EXPECT_THAT(continued, Not(HasSubstr("b7ad6b7169203331")));
    EXPECT_EQ(trace("traceparent: rubbish\r\n"), "");
    EXPECT_EQ(trace(""), "");
}

TEST_P(http_session, G64_input_in_a_field_cannot_split_the_response) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    const auto r =
        peer.ask(get("/split?to=/a%0d%0aSet-Cookie:%20x=y%0d%0a%0d%0aHTTP/1.1%20200%20OK"));
    EXPECT_EQ(r.status, 204u);
    EXPECT_EQ(r.count("Set-Cookie"), 0u);
    EXPECT_EQ(peer.ask(get("/marker")).body, "\"marker\"");
}

TEST_P(http_session, cross_origin_answers_name_the_configured_origin_only) {
    auto options = quiet();
    options.cors_origins = {"https://app.example"};
    test_server server(GetParam(), options);
    client peer(server.address());
    auto r = peer.ask(get("/nowhere", "Origin: https://app.example\r\n"));
    EXPECT_EQ(r.field("Access-Control-Allow-Origin"), "https://app.example");
    EXPECT_EQ(r.field("Vary"), "Origin");
    r = peer.ask(get("/ok", "Origin: https://evil.example\r\n"));
    EXPECT_EQ(r.field("Access-Control-Allow-Origin"), std::nullopt);
    EXPECT_EQ(r.field("Vary"), "Origin");
    r = peer.ask(
        "OPTIONS /json HTTP/1.1\r\nHost: a\r\nOrigin: "
        "https://app.example\r\nAccess-Control-Request-Method: POST\r\n\r\n");
    EXPECT_EQ(r.status, 204u);
    EXPECT_EQ(r.field("Access-Control-Allow-Methods"), "POST, DELETE, OPTIONS");
    EXPECT_THAT(*r.field("Access-Control-Allow-Headers"), HasSubstr("Authorization"));
    // The guard's own answers too.
    r = peer.ask("GET /ok HTTP/1.1\r\n\r\n");
    EXPECT_EQ(r.status, 400u);
    EXPECT_EQ(r.field("Vary"), "Origin");
}

TEST_P(http_session, client_addresses_are_believed_from_trusted_proxies_only) {
    auto options = quiet();
    const auto client_seen = [&] {
        test_server server(GetParam(), options);
        const auto r =
            client(server.address())
                .ask(get("/inspect/1",
                         "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 2001:db8::1\r\n"));
        return std::string(boost::json::parse(r.body).at("client").as_string());
    };
    EXPECT_EQ(client_seen(), "127.0.0.1");
    options.proxies = trusted_proxies::parse(std::vector<std::string>{"127.0.0.0/8"}).value();
    EXPECT_EQ(client_seen(), "2001:db8::1");
}

TEST_P(http_session, G61_slow_headers_get_408) {
    auto options = quiet();
    options.limits.header_timeout = 50ms;
    test_server server(GetParam(), options);
    client peer(server.address());
    const auto r = peer.ask("GET /ok HTTP/1.1\r\nHost: a\r\n");
    EXPECT_EQ(r.status, 408u);
    EXPECT_EQ(code_of(r), "request_timeout");
    EXPECT_TRUE(peer.at_end());
    EXPECT_THAT(server.metrics(), HasSubstr("reason=\"timeout\""));
}

TEST_P(http_session, G61_slow_bodies_get_408) {
    auto options = quiet();
    options.limits.body_timeout = 50ms;
    test_server server(GetParam(), options);
    for (const auto* fields :
         {"Content-Length: 3\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n3\r\nab"}) {
        client peer(server.address());
        EXPECT_EQ(peer.ask("PUT /echo HTTP/1.1\r\nHost: a\r\n" + std::string(fields)).status, 408u);
        EXPECT_TRUE(peer.at_end());
    }
}

TEST_P(http_session, G61_idle_connections_are_closed_without_a_word) {
    auto options = quiet();
    options.limits.idle_timeout = 50ms;
    test_server server(GetParam(), options);
    EXPECT_TRUE(client(server.address()).at_end());
    client used(server.address());
    EXPECT_EQ(used.ask(get("/ok")).status, 200u);
    EXPECT_TRUE(used.at_end());
}

TEST_P(http_session, G61_readers_that_do_not_read_lose_the_connection) {
    auto options = quiet();
    options.limits.write_timeout = 50ms;
    test_server server(GetParam(), options);
    client peer(server.address(), 4096);
    peer.send(get("/large?bytes=30000000"));
    EXPECT_TRUE(eventually([&] {
        return server.metrics().find("insula_http_write_failed_total{server=\"public\"} 1") !=
               std::string::npos;
    }));
    EXPECT_TRUE(eventually([&] { return server.server().connections() == 0; }));
}

TEST_P(http_session, a_message_cut_off_is_malformed) {
    test_server server(GetParam(), quiet());
    for (const auto* bytes :
         {"GET /ok HT", "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"}) {
        client peer(server.address());
        peer.send(bytes);
        peer.finish_sending();
        EXPECT_EQ(peer.receive()->status, 400u);
        EXPECT_TRUE(peer.at_end());
    }
    client polite(server.address());
    polite.finish_sending();
    EXPECT_TRUE(polite.at_end()) << "nothing asked, nothing answered";
}

TEST_P(http_session, G65_connections_beyond_the_limit_are_told_so) {
    auto options = quiet();
    options.limits.connections_max = 2;
    test_server server(GetParam(), options);
    client first(server.address()), second(server.address());
    first.send(get("/wait"));
    second.send(get("/wait"));
    server.await_waiting(2);
    client third(server.address());
    const auto r = third.receive();
    ASSERT_TRUE(r);
    EXPECT_EQ(r->status, 503u);
    EXPECT_EQ(code_of(*r), "overloaded");
    EXPECT_EQ(r->field("Retry-After"), "1");
    EXPECT_TRUE(third.at_end());
    EXPECT_THAT(server.metrics(),
                HasSubstr("insula_http_connections_refused_total{server=\"public\"} 1"));
    EXPECT_THAT(server.metrics(), HasSubstr("insula_http_connections_max{server=\"public\"} 2"));
    server.release();
    server.release();
    EXPECT_EQ(first.receive()->body, "\"released\"") << "those inside are not disturbed";
}

TEST_P(http_session, G65_requests_beyond_the_in_flight_limit_get_503) {
    auto options = quiet();
    options.limits.in_flight_max = 1;
    test_server server(GetParam(), options);
    client first(server.address()), second(server.address());
    first.send(get("/wait"));
    server.await_waiting(1);
    EXPECT_EQ(server.server().in_flight(), 1u);
    const auto r = second.ask(get("/ok"));
    EXPECT_EQ(r.status, 503u);
    EXPECT_EQ(r.field("Retry-After"), "1");
    EXPECT_THAT(server.metrics(), HasSubstr("insula_http_overloaded_total{server=\"public\"} 1"));
    server.release();
    EXPECT_EQ(first.receive()->body, "\"released\"");
    EXPECT_EQ(second.ask(get("/ok")).status, 200u);
}

TEST_P(http_session, rate_limits_come_before_the_handler) {
    token_buckets buckets({{"limited", 1.0 / 60, 2}});
    test_server server(GetParam(), quiet(), &buckets);
    client peer(server.address());
    EXPECT_EQ(peer.ask(get("/limited")).status, 200u);
    EXPECT_EQ(peer.ask(get("/limited")).status, 200u);
    const auto r = peer.ask(get("/limited"));
    EXPECT_EQ(r.status, 429u);
    EXPECT_EQ(code_of(r), "rate_limited");
    EXPECT_GE(std::stoi(*r.field("Retry-After")), 59);
    EXPECT_EQ(peer.ask(get("/ok")).status, 200u);
}

TEST_P(http_session, G65_connections_end_after_their_last_request) {
    auto options = quiet();
    options.limits.requests_per_connection_max = 2;
    test_server server(GetParam(), options);
    client peer(server.address());
    EXPECT_EQ(peer.ask(get("/ok")).field("Connection"), std::nullopt);
    EXPECT_EQ(peer.ask(get("/ok")).field("Connection"), "close");
    EXPECT_TRUE(peer.at_end());
}

TEST_P(http_session, stop_closes_the_idle_and_lets_the_running_finish) {
    test_server server(GetParam(), quiet());
    client idle(server.address()), busy(server.address());
    EXPECT_EQ(idle.ask(get("/ok")).status, 200u);
    busy.send(get("/wait"));
    server.await_waiting(1);
    auto stopped = server.stop(10s);
    EXPECT_TRUE(idle.at_end());
    EXPECT_EQ(stopped.wait_for(0s), std::future_status::timeout) << "a request is still running";
    server.release();
    const auto r = busy.receive();
    ASSERT_TRUE(r);
    EXPECT_EQ(r->body, "\"released\"");
    EXPECT_EQ(r->field("Connection"), "close");
    EXPECT_TRUE(stopped.get());
    EXPECT_ANY_THROW(client{server.address()});
}

TEST_P(http_session, stop_ends_at_its_deadline_whatever_runs) {
    test_server server(GetParam(), quiet());
    client busy(server.address());
    busy.send(get("/wait"));
    server.await_waiting(1);
    EXPECT_FALSE(server.stop(50ms).get());
    EXPECT_EQ(server.server().connections(), 0u);
}

TEST_P(http_session, draining_closes_after_each_response) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    EXPECT_EQ(peer.ask(get("/ok")).field("Connection"), std::nullopt);
    server.server().drain();
    EXPECT_EQ(peer.ask(get("/ok")).field("Connection"), "close");
    EXPECT_TRUE(peer.at_end());
}

TEST_P(http_session, logs_patterns_and_never_a_secret_path) {
    std::mutex mutex;
    std::string lines;
    observe::configure_log({.sink = [&](observe::log_level, std::string_view line) {
        std::lock_guard lock(mutex);
        lines.append(line).append("\n");
    }});
    {
        test_server server(GetParam());
        client peer(server.address());
        (void)peer.ask(get("/capability/s3cret-id"));
        (void)peer.ask(get("/capability/s3cret-id/"));
        (void)peer.ask(get("/ok?token=s3cret-id", "X-Request-ID: seen-1\r\n"));
    }
    observe::shutdown_log();
    EXPECT_THAT(lines, HasSubstr("/capability/{secret}"));
    EXPECT_THAT(lines, HasSubstr("seen-1"));
    EXPECT_THAT(lines, HasSubstr("127.0.0.1"));
    EXPECT_THAT(lines, Not(HasSubstr("s3cret-id")));
}

TEST_P(http_session, counts_by_route_and_status_class) {
    test_server server(GetParam(), quiet());
    client peer(server.address());
    (void)peer.ask(get("/inspect/1"));
    (void)peer.ask(get("/inspect/2"));
    (void)peer.ask(get("/nowhere"));
    EXPECT_TRUE(
        eventually([&] { return server.metrics().find("route=\"none\"") != std::string::npos; }));
    const auto text = server.metrics();
    EXPECT_THAT(text,
                testing::ContainsRegex("insula_http_requests_total\\{.*/inspect/\\{id\\}.*\\} 2"));
    EXPECT_THAT(text, HasSubstr("insula_http_request_duration_seconds_count"));
    EXPECT_THAT(text, HasSubstr("insula_http_connections{server=\"public\"} 1"));
}

}  // namespace
}  // namespace insula::http::test
