// What RFC 9112 (messages) and RFC 9110 (their meaning) demand of a server, sentence by sentence in
// our words, and the cases or tests that prove it. A name that is not there fails, and so does a
// case of the framing table that proves nothing.
#include "framing_cases.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace insula::http::test {
namespace {

using names = std::vector<std::string>;

enum class kind {
    must,    // MUST or MUST NOT
    should,  // SHOULD, or MAY that we do
    strict,  // what a recipient may or even must take, and we refuse: a message about whose end two
             // parties could disagree is never worth it. Always 4xx and close.
};

struct requirement {
    kind strength;
    const char* section;
    const char* text;
    names cases;       // of the framing table; a "*" at the end: all that begin so
    names tests = {};  // of this program, without parameters
};

std::vector<requirement> messages() {
    return {
        {kind::must,
         "9112 2.2",
         "parse octets, not text",
         {"field_value_obs_text", "obs_text_in_a_name", "target_above_ascii", "host_above_ascii",
          "length_full_width_digit"}},
        {kind::must,
         "9112 2.2",
         "a bare CR makes the element invalid",
         {"carriage_return_*", "coding_inner_carriage_return",
          "chunk_carriage_return_in_extension"}},
        {kind::strict, "9112 2.2", "a bare LF might end a line", {"line_feed_*"}},
        {kind::should,
         "9112 2.2",
         "ignore one empty line before a request",
         {"one_empty_line_before_is_forgiven", "empty_lines_between_requests",
          "two_empty_lines_before"}},
        {kind::must,
         "9112 2.2",
         "white space before the first field: refuse or drop the line",
         {"fold_after_the_request_line"}},
        {kind::should,
         "9112 2.2",
         "400 and close for what is no HTTP",
         {"tls_hello", "http2_preface", "http09", "space_before_the_method", "method_empty",
          "second_request_is_malformed"}},
        {kind::must,
         "9112 2.3",
         "the version is HTTP/DIGIT.DIGIT, in capitals",
         {"version_*", "no_version", "http10_host_is_optional"}},
        {kind::must, "9112 3", "414 for a target that is too long", {"request_line_too_large"}},
        {kind::should,
         "9112 3",
         "request lines of 8,000 octets",
         {},
         {"http_session.request_lines_of_8000_octets_are_read"}},
        {kind::strict,
         "9112 3",
         "other white space might separate the words",
         {"two_spaces_*", "tab_as_separator", "space_after_the_version"}},
        {kind::must,
         "9112 3.1",
         "the method is a token, and has a case",
         {"method_*"},
         {"http_session.routes_say_what_they_are_not"}},
        {kind::must,
         "9112 3.2",
         "no white space in the target",
         {"white_space_in_the_target", "target_empty", "nul_in_the_target", "fragment",
          "request_in_the_path_of_another"}},
        {kind::must,
         "9112 3.2",
         "400 for no Host, two, or a bad one",
         {"host_*", "absolute_form_with_a_bad_field"}},
        {kind::must,
         "9112 3.2.2",
         "take the absolute form, whatever Host says",
         {"absolute_form", "absolute_form_host_differs", "absolute_form_scheme_without_case"}},
        {kind::must,
         "9110 4.2.4",
         "no user, no empty host, no other scheme in a target",
         {"absolute_form_*"}},
        {kind::must,
         "9112 3.2.3",
         "the authority form is of CONNECT only, which we are not for",
         {"authority_form*", "relative_target"}},
        {kind::must,
         "9112 3.2.4",
         "the asterisk is of OPTIONS only",
         {"options_asterisk", "asterisk_of_get"}},
        {kind::must,
         "9112 5",
         "a field is a token, a colon and a value",
         {"no_colon", "empty_name", "bad_character_in_a_name", "vertical_tab_in_a_name",
          "unknown_fields_are_no_error"}},
        {kind::must,
         "9112 5.1",
         "400 for white space before the colon; around the value it is dropped",
         {"space_before_the_colon*", "tab_before_the_colon_*", "values_keep_inner_white_space",
          "field_value_empty", "coding_white_space_around", "content_length_white_space_around"}},
        {kind::must,
         "9112 5.2",
         "400 for folded lines",
         {"fold_*", "host_line_folded", "coding_folded"}},
        {kind::must,
         "9112 6",
         "a body is announced by its fields, whatever the method",
         {"get_with_body", "length_is_the_only_framing_of_a_get", "coding_of_a_get",
          "post_without_body", "body_that_looks_like_a_request"}},
        {kind::must,
         "9112 6.1",
         "close after a message with both lengths",
         {"length_and_coding", "coding_and_length", "length_empty_beside_coding"}},
        {kind::must,
         "9112 6.1",
         "a coding on HTTP/1.0 is faulty framing",
         {"coding_on_http10", "coding_on_http10_beside_length"}},
        {kind::must,
         "9112 6.1",
         "chunked is applied once",
         {"coding_chunked_twice", "coding_chunked_twice_in_a_list"}},
        {kind::should,
         "9112 6.1",
         "501 for a coding that is not understood, chunked behind it",
         {"coding_gzip_chunked_is_not_implemented"}},
        {kind::must,
         "9112 6.2",
         "lengths that overflow are no shorter ones",
         {"length_huge", "length_wraps_to_three", "length_of_four_gigabytes_and_three",
          "length_beyond_the_limit", "body_at_the_limit"}},
        {kind::must, "9112 6.3", "400 and close when chunked is not the last coding", {"coding_*"}},
        {kind::must, "9112 6.3", "400 and close for a bad length", {"length_*"}},
        {kind::must,
         "9112 6.3",
         "neither length nor coding: no body",
         {"one_request", "pipeline_of_three", "post_without_body"}},
        {kind::must,
         "9112 6.3",
         "the length says where the message ends",
         {"content_length", "content_length_*", "http10_body_by_length"}},
        {kind::must,
         "9112 6.3",
         "fewer octets than announced: incomplete, close",
         {},
         {"http_session.a_message_cut_off_is_malformed", "http_session.G61_slow_bodies_get_408"}},
        {kind::must,
         "9112 7",
         "names of codings have no case",
         {"chunked_case_insensitive", "coding_upper_case_name"}},
        {kind::must,
         "9112 7.1",
         "decode chunks; sizes that overflow are no smaller ones",
         {"chunked_*", "chunk_size_*", "chunk_data_*", "chunks_beyond_the_limit", "last_chunk_*"},
         {"http_reader.gives_bodies_without_their_framing"}},
        {kind::must,
         "9112 7.1.1",
         "ignore extensions that are not known; bound them",
         {"chunk_extension*", "chunk_line_*"},
         {"http_chunk_guard.G61_bounds_the_framing_of_many_tiny_chunks"}},
        {kind::strict,
         "9112 7.1.1",
         "bad white space between size and extension might be dropped",
         {"chunk_extension_white_space_before", "chunk_size_space_after", "chunk_size_tab_after"}},
        {kind::strict,
         "9112 7.1.2",
         "trailers might be dropped; we have no use for any",
         {"trailer", "trailer_*"}},
        {kind::must,
         "9112 9.3",
         "closed as `close`, the version and `keep-alive` say",
         {"http10_*", "connection_*"}},
        {kind::must,
         "9112 9.3.2",
         "a pipeline is answered in order",
         {"pipeline_of_three"},
         {"http_session.a_pipeline_is_answered_in_order"}},
        {kind::must,
         "9112 9.6",
         "nothing is done that came behind a `close`, and the answer says so",
         {"connection_close*", "http10_closes"},
         {"http_session.G65_connections_end_after_their_last_request"}},
        {kind::should,
         "9112 9.6",
         "close the sending half first, so that the answer is read",
         {},
         {"http_session.G65_body_limits_are_the_routes_own"}},
        {kind::must,
         "9112 11.1",
         "input cannot split a response",
         {},
         {"http_session.G64_input_in_a_field_cannot_split_the_response",
          "http_response.G64_input_in_a_value_cannot_split_the_response"}},
    };
}

std::vector<requirement> meanings() {
    return {
        {kind::must, "9110 5.1", "names of fields have no case", {"names_without_case"}},
        {kind::must,
         "9110 5.4",
         "4xx for fields larger than we read",
         {"header_too_large"},
         {"http_reader.G65_header_limit_is_exact",
          "http_reader.G65_refuses_the_field_beyond_the_limit"}},
        {kind::must,
         "9110 5.5",
         "CR, LF and NUL in a value: refuse or replace",
         {"nul_in_*", "control_character_in_a_value", "delete_character_in_a_value",
          "form_feed_in_a_value", "escape_character_in_a_value", "length_with_nul",
          "length_name_with_nul"}},
        {kind::must,
         "9110 5.6.1.2",
         "empty elements of a list are ignored",
         {"connection_close_among_empty_elements", "connection_empty"}},
        {kind::strict,
         "9110 5.6.1.2",
         "empty elements of a list of codings might be ignored",
         {"coding_trailing_comma", "coding_leading_comma", "coding_empty"}},
        {kind::must,
         "9110 6.6.1",
         "every answer has a date",
         {},
         {"http_session.every_answer_has_its_fields_even_those_of_the_guard"}},
        {kind::must,
         "9110 7.6.1",
         "Connection cannot take a framing field away",
         {"connection_names_*"}},
        {kind::must,
         "9110 7.8",
         "Upgrade is ignored on HTTP/1.0, and may be on 1.1",
         {"http10_upgrade_is_ignored", "upgrade_is_ignored", "upgrade_h2c_is_ignored"}},
        {kind::should,
         "9110 8.4",
         "415 for a content coding, in whichever of its fields",
         {},
         {"http_session.content_codings_are_refused_in_every_field"}},
        {kind::must,
         "9110 8.6",
         "no length in a 204",
         {},
         {"http_session.routes_say_what_they_are_not"}},
        {kind::must,
         "9110 9.3.2",
         "HEAD has no body",
         {},
         {"http_session.head_answers_like_get_without_the_body"}},
        {kind::must,
         "9110 9.3.7",
         "OPTIONS says what is allowed",
         {"options_asterisk"},
         {"http_session.routes_say_what_they_are_not"}},
        {kind::must, "9110 10.1.1", "417 for other expectations; none on HTTP/1.0", {"expect_*"}},
        {kind::must,
         "9110 10.1.1",
         "100 or the last status before the body is sent",
         {},
         {"http_session.expect_100_continue_is_answered_when_the_body_is_wanted",
          "http_session.expect_100_continue_beyond_the_limit_is_413_at_once"}},
        {kind::must,
         "9110 15.2",
         "no 1xx to HTTP/1.0",
         {"expect_on_http10_has_no_interim_answer", "expect_on_http10_is_ignored"}},
        {kind::must,
         "9110 15.5.2",
         "401 says how to authenticate",
         {},
         {"http_problem.names_the_scheme_on_401"}},
        {kind::must,
         "9110 15.5.6",
         "405 says what is allowed",
         {},
         {"http_session.routes_say_what_they_are_not"}},
        {kind::should,
         "9110",
         "fields that are for others change nothing here",
         {"te_field_*", "trailer_announced_*", "trailer_field_*", "max_forwards_*", "range_*",
          "via_*", "proxy_connection_*"}},
    };
}

std::vector<requirement> requirements() {
    auto all = messages();
    for (auto& one : meanings())
        all.push_back(std::move(one));
    return all;
}

/// The cases that a name or a pattern stands for.
std::vector<const framing_case*> cases_of(const std::string& pattern) {
    std::vector<const framing_case*> found;
    for (const auto& c : framing_cases()) {
        const std::string name = c.name;
        if (pattern.back() == '*' ? name.starts_with(pattern.substr(0, pattern.size() - 1))
                                  : name == pattern)
            found.push_back(&c);
    }
    return found;
}

/// "http_session.x" of every test of this program, without the parameters.
std::set<std::string> tests_here() {
    std::set<std::string> all;
    const auto& program = *testing::UnitTest::GetInstance();
    for (int i = 0; i < program.total_test_suite_count(); ++i) {
        const auto& suite = *program.GetTestSuite(i);
        const std::string whole = suite.name();
        const auto name = whole.substr(whole.find('/') + 1);
        for (int j = 0; j < suite.total_test_count(); ++j) {
            const std::string test = suite.GetTestInfo(j)->name();
            all.insert(name + "." + test.substr(0, test.find('/')));
        }
    }
    return all;
}

TEST(http_requirements, G60_each_has_its_proof) {
    const auto tests = tests_here();
    for (const auto& r : requirements()) {
        SCOPED_TRACE(std::string(r.section) + ": " + r.text);
        EXPECT_FALSE(r.cases.empty() && r.tests.empty());
        for (const auto& pattern : r.cases)
            EXPECT_FALSE(cases_of(pattern).empty()) << "no case " << pattern;
        for (const auto& test : r.tests)
            EXPECT_TRUE(tests.contains(test)) << "no test " << test;
    }
}

TEST(http_requirements, G60_each_case_of_the_table_proves_one) {
    std::set<std::string> used;
    for (const auto& r : requirements()) {
        for (const auto& pattern : r.cases) {
            for (const auto* c : cases_of(pattern))
                used.insert(c->name);
        }
    }
    std::set<std::string> seen;
    for (const auto& c : framing_cases()) {
        EXPECT_TRUE(used.contains(c.name)) << c.name << " stands for no requirement";
        EXPECT_TRUE(seen.insert(c.name).second) << c.name << " is there twice";
    }
    EXPECT_GE(seen.size(), 250u);
}

TEST(http_requirements, G60_what_is_taken_stricter_ends_the_connection) {
    for (const auto& r : requirements()) {
        if (r.strength != kind::strict)
            continue;
        for (const auto& pattern : r.cases) {
            for (const auto* c : cases_of(pattern)) {
                if (std::string(c->name).starts_with("trailer_announced") ||
                    std::string(c->name).starts_with("trailer_field"))
                    continue;
                EXPECT_TRUE(c->closed) << c->name;
                EXPECT_EQ(c->statuses.back() / 100, 4u) << c->name;
            }
        }
    }
}

/// The heart of G60: as many answers as well-formed requests, and none behind a malformed one.
TEST(http_requirements, G60_a_refusal_is_the_last_answer_and_the_only_one) {
    for (const auto& c : framing_cases()) {
        for (std::size_t i = 0; i + 1 < c.statuses.size(); ++i)
            EXPECT_LT(c.statuses[i], 300u) << c.name;
        EXPECT_TRUE(c.statuses.back() < 300 || c.closed) << c.name;
    }
}

}  // namespace
}  // namespace insula::http::test
