#pragma once
// One connection's incoming side as a state machine without I/O: octets go in, complete requests
// come out. The session drives it; unit tests drive it octet by octet.

#include "http/guard.hpp"

#include "insula/http/limits.hpp"
#include "insula/http/request.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace insula::http {

/// Takes the body of a message apart, chunked or not. What it reads in the header on the way must
/// agree with message_head.
class body_sink final : public boost::beast::http::basic_parser<true> {
public:
    explicit body_sink(std::string& body) : body_(body) {}

    bool keep_body = true;

private:
    using error_code = boost::beast::error_code;
    using text = boost::beast::string_view;

    void on_request_impl(boost::beast::http::verb, text, text, int, error_code&) override {}
    void on_response_impl(int, text, int, error_code&) override {}
    void on_field_impl(boost::beast::http::field, text, text, error_code&) override {}
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(text body, error_code&) override;
    void on_chunk_header_impl(std::uint64_t, text, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, text body, error_code&) override;
    void on_finish_impl(error_code&) override {}

    std::string& body_;
};

/// Gives the memory back. Assigning an empty string does not: libstdc++ copies a short text into
/// the buffer that is there.
inline void release(std::string& text) noexcept {
    std::string().swap(text);
}

/// A body string up to this is kept from request to request; a larger one is given back.
inline constexpr std::size_t kept_body_max = 16 * 1024;

class request_reader {
public:
    enum class step : std::uint8_t {
        need_more,  // receive into prepare(), commit(), advance() again
        head,       // the header is there: look at it, then call accept_body()
        message,    // the request is complete: answer it, then call next()
        refused,    // why(); nothing more will be read from this connection
    };

    explicit request_reader(const limits& bounds) : limits_(bounds) {}
    request_reader(const request_reader&) = delete;
    request_reader& operator=(const request_reader&) = delete;

    /// Room to receive into, never empty. Valid until the next call of anything but commit().
    boost::asio::mutable_buffer prepare();
    void commit(std::size_t bytes) noexcept { end_ += bytes; }

    step advance();
    /// After `head`: the body may have this size; `keep` false reads and forgets it.
    void accept_body(std::size_t bytes_max, bool keep);
    /// After `message`: forgets the request; what was pipelined behind it stays.
    void next();

    refusal why() const noexcept { return why_; }
    /// Nothing of a next request has arrived.
    bool idle() const noexcept { return phase_ == phase::start && begin_ == end_; }
    bool in_body() const noexcept { return phase_ == phase::body; }
    bool has_leftover() const noexcept { return begin_ != end_; }

    // From `head` until next().
    std::string_view method_token() const noexcept { return message_.method; }
    std::string_view target() const noexcept { return message_.target; }
    std::span<const field> fields() const noexcept { return fields_; }
    bool http11() const noexcept { return message_.http11; }
    /// RFC 9112 9.3: `close` wins, then the version decides unless `keep-alive` was asked for.
    bool keep_alive() const noexcept {
        return !message_.says_close && (message_.http11 || message_.says_keep_alive);
    }
    bool expects_continue() const noexcept { return message_.expects_continue; }
    /// A body that is not empty, as far as the header tells.
    bool has_body() const noexcept { return message_.has_body(); }
    /// From `message` until next().
    std::string_view body() const noexcept { return body_; }
    /// Memory the body takes beyond what every connection may keep.
    std::size_t extra_bytes() const noexcept {
        return body_.capacity() > kept_body_max ? body_.capacity() : 0;
    }
    void refuse_body(refusal why) noexcept { (void)refuse(why); }

private:
    enum class phase : std::uint8_t { start, header, decide, body, complete, refused };

    std::string_view data() const noexcept { return {buffer_.get() + begin_, end_ - begin_}; }
    step refuse(refusal why) noexcept;
    step skip_empty_line();
    step read_header();
    bool begin_body();
    step read_body();
    step read_chunks();
    step feed_parser(std::size_t bytes);
    void grow(std::size_t capacity);

    const limits& limits_;
    std::unique_ptr<char[]> buffer_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    phase phase_ = phase::start;
    refusal why_ = refusal::none;
    bool skipped_empty_line_ = false;
    header_scanner scanner_;
    message_head message_;  // these two look into the buffer, or into head_ while a body follows
    std::vector<field> fields_;
    std::string head_;  // a copy: the buffer is filled again while the body arrives
    std::string body_;
    std::optional<body_sink> sink_;  // while a body follows
    std::optional<chunk_guard> chunks_;
    std::size_t guarded_ = 0;  // octets of the buffer the chunk guard has let pass
};

}  // namespace insula::http
