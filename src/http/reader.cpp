#include "http/reader.hpp"

#include <boost/assert.hpp>
#include <boost/beast/http/error.hpp>

#include <algorithm>
#include <cstring>

namespace insula::http {
namespace {

namespace beast_http = boost::beast::http;

constexpr std::size_t room_min = 512;  // below this a receive is not worth its cost
constexpr std::size_t capacity_first =
    2 * 1024;  // most requests fit; ten thousand idle ones cost 20 MB
constexpr std::size_t capacity_body = 16 * 1024;

std::string_view view(boost::beast::string_view text) noexcept {
    return {text.data(), text.size()};
}

}  // namespace

void request_sink::on_request_impl(beast_http::verb, text method, text wanted, int version,
                                   error_code&) {
    method_token = view(method);
    target = view(wanted);
    http11 = version == 11;
}

void request_sink::on_field_impl(beast_http::field id, text name, text value, error_code&) {
    fields_.push_back({view(name), view(value)});
    if (id == beast_http::field::expect)
        expect_continue = true;  // the guard lets no other expectation pass
    if (id == beast_http::field::connection)
        read_connection(view(value));
}

void request_sink::read_connection(std::string_view options) noexcept {
    while (true) {
        const auto comma = options.find(',');
        const auto option = trim_ows(options.substr(0, comma));
        says_close = says_close || iequals(option, "close");
        says_keep_alive = says_keep_alive || iequals(option, "keep-alive");
        if (comma == std::string_view::npos)
            return;
        options.remove_prefix(comma + 1);
    }
}

std::size_t request_sink::on_body_impl(text body, error_code&) {
    if (keep_body)
        body_.append(body.data(), body.size());
    return body.size();
}

std::size_t request_sink::on_chunk_body_impl(std::uint64_t, text body, error_code& ec) {
    return on_body_impl(body, ec);
}

boost::asio::mutable_buffer request_reader::prepare() {
    if (begin_ == end_)
        begin_ = end_ = 0;
    if (capacity_ - end_ < room_min && begin_ > 0) {
        std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (capacity_ - end_ < room_min)
        grow(std::max(capacity_first, 2 * capacity_));
    if (phase_ == phase::body && capacity_ < capacity_body)
        grow(capacity_body);
    // Never more than a header may have: a sender that fills the buffer is refused by advance().
    return {buffer_.get() + end_, capacity_ - end_};
}

void request_reader::grow(std::size_t capacity) {
    auto larger = std::make_unique_for_overwrite<char[]>(capacity);
    if (end_ > begin_)
        std::memcpy(larger.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    buffer_ = std::move(larger);
    capacity_ = capacity;
}

request_reader::step request_reader::refuse(refusal why) noexcept {
    why_ = why;
    release(body_);  // the session may live on for its linger time
    phase_ = phase::refused;
    return step::refused;
}

request_reader::step request_reader::advance() {
    switch (phase_) {
        case phase::start:
            if (begin_ == end_)
                return step::need_more;
            return skip_empty_line();
        case phase::header:
            return read_header();
        case phase::decide:
            return step::head;
        case phase::body:
            return read_body();
        case phase::complete:
            return step::message;
        case phase::refused:
            return step::refused;
    }
    return step::refused;
}

/// RFC 9112 2.2: one empty line before a request is forgiven.
request_reader::step request_reader::skip_empty_line() {
    if (data().front() == '\r' && !skipped_empty_line_) {
        if (data().size() < 2)
            return step::need_more;
        if (data()[1] != '\n')
            return refuse(refusal::malformed);
        begin_ += 2;
        skipped_empty_line_ = true;
        return advance();
    }
    phase_ = phase::header;
    return read_header();
}

request_reader::step request_reader::read_header() {
    const auto found = scanner_.scan(data(), limits_.header_bytes_max);
    if (found.why != refusal::none)
        return refuse(found.why);
    if (found.size == 0)
        return step::need_more;
    head_.assign(data().substr(0, found.size));
    begin_ += found.size;
    if (const auto why = check_header(head_, limits_.fields_max); why != refusal::none)
        return refuse(why);

    sink_.emplace(fields_, body_);
    sink_->header_limit(static_cast<std::uint32_t>(head_.size() + 1));
    sink_->body_limit(boost::none);  // accept_body() and the chunk guard keep the limit
    boost::beast::error_code ec;
    const auto used = sink_->put(boost::asio::buffer(head_), ec);
    if (ec || used != head_.size() || !sink_->is_header_done())
        return refuse(refusal::malformed);
    sink_->eager(true);
    phase_ = phase::decide;
    return step::head;
}

void request_reader::accept_body(std::size_t bytes_max, bool keep) {
    BOOST_ASSERT(phase_ == phase::decide);
    sink_->keep_body = keep;
    if (sink_->is_done()) {
        phase_ = phase::complete;
        return;
    }
    if (sink_->content_length().value_or(0) > bytes_max) {
        refuse(refusal::body_too_large);
        return;
    }
    if (sink_->chunked()) {
        chunks_.emplace(chunk_guard::bounds{bytes_max, limits_.chunk_line_bytes_max,
                                            limits_.chunk_overhead_bytes_max});
        guarded_ = 0;
    }
    phase_ = phase::body;
}

request_reader::step request_reader::read_body() {
    if (begin_ == end_)
        return step::need_more;
    return sink_->chunked() ? read_chunks() : feed_parser(end_ - begin_);
}

request_reader::step request_reader::read_chunks() {
    const auto progress = chunks_->feed(data().substr(guarded_));
    if (progress.why != refusal::none)
        return refuse(progress.why);
    // Beast gets whole chunk lines only: half of a last chunk trips an assertion in its parser
    // (345). What is held back is at most one line.
    const auto whole = progress.whole > 0 ? guarded_ + progress.whole : 0;
    guarded_ += progress.taken;
    const auto after = whole > 0 ? feed_parser(whole) : step::need_more;
    // Both must agree where the message ends; if they ever do not, nobody may act on it.
    if ((after == step::message) != progress.done)
        return refuse(refusal::malformed);
    return after;
}

request_reader::step request_reader::feed_parser(std::size_t bytes) {
    boost::beast::error_code ec;
    const auto used = sink_->put(boost::asio::const_buffer(buffer_.get() + begin_, bytes), ec);
    begin_ += used;
    guarded_ -= std::min(guarded_, used);
    if (ec && ec != beast_http::error::need_more)
        return refuse(refusal::malformed);
    if (!sink_->is_done())
        return step::need_more;
    phase_ = phase::complete;
    return step::message;
}

void request_reader::next() {
    BOOST_ASSERT(phase_ == phase::complete);
    phase_ = phase::start;
    skipped_empty_line_ = false;
    scanner_.reset();
    fields_.clear();
    sink_.reset();
    chunks_.reset();
    guarded_ = 0;
    if (body_.capacity() > kept_body_max) {
        release(body_);
    } else {
        body_.clear();
    }
    if (begin_ == end_ && capacity_ > capacity_first) {
        buffer_.reset();
        capacity_ = begin_ = end_ = 0;
    }
}

}  // namespace insula::http
