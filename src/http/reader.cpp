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

}  // namespace

std::size_t body_sink::on_body_impl(text body, error_code&) {
    if (keep_body)
        body_.append(body.data(), body.size());
    return body.size();
}

std::size_t body_sink::on_chunk_body_impl(std::uint64_t, text body, error_code& ec) {
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
    const auto header = data().substr(0, found.size);
    if (const auto why = parse_header(header, limits_.fields_max, message_, fields_);
        why != refusal::none) {
        return refuse(why);
    }
    begin_ += found.size;
    if (message_.has_body()) {
        head_.assign(header);
        if (!begin_body())
            return refuse(refusal::malformed);
    }
    phase_ = phase::decide;
    return step::head;
}

/// The buffer will be filled again: what looked into it looks into the copy. Beast reads that, too,
/// and may not understand another message than we do.
bool request_reader::begin_body() {
    const char* const before = message_.method.data();
    const auto moved = [&](std::string_view text) {
        if (text.empty())
            return std::string_view();  // which may point nowhere
        return std::string_view(head_).substr(static_cast<std::size_t>(text.data() - before),
                                              text.size());
    };
    message_.target = moved(message_.target);
    for (auto& f : fields_)
        f = {moved(f.name), moved(f.value)};
    message_.method = moved(message_.method);

    sink_.emplace(body_);
    sink_->header_limit(static_cast<std::uint32_t>(head_.size() + 1));
    sink_->body_limit(boost::none);  // accept_body() and the chunk guard keep the limit
    boost::beast::error_code ec;
    const auto used = sink_->put(boost::asio::buffer(head_), ec);
    if (ec || used != head_.size() || !sink_->is_header_done())
        return false;
    sink_->eager(true);
    return sink_->chunked() == message_.chunked &&
           sink_->content_length().value_or(0) == message_.content_length;
}

void request_reader::accept_body(std::size_t bytes_max, bool keep) {
    BOOST_ASSERT(phase_ == phase::decide);
    if (!message_.has_body()) {
        phase_ = phase::complete;
        return;
    }
    if (message_.content_length > bytes_max) {
        refuse(refusal::body_too_large);
        return;
    }
    sink_->keep_body = keep;
    if (message_.chunked) {
        chunks_.emplace(chunk_guard::bounds{bytes_max, limits_.chunk_line_bytes_max,
                                            limits_.chunk_overhead_bytes_max});
        guarded_ = 0;
    }
    phase_ = phase::body;
}

request_reader::step request_reader::read_body() {
    if (begin_ == end_)
        return step::need_more;
    return message_.chunked ? read_chunks() : feed_parser(end_ - begin_);
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
    message_ = {};
    fields_.clear();
    if (sink_) {
        sink_.reset();
        chunks_.reset();
        guarded_ = 0;
    }
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
