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

/// What Beast's parser finds, kept as views (of the header's copy) and one body string: no `fields`
/// container, no allocation once the vectors have grown.
class request_sink final : public boost::beast::http::basic_parser<true> {
public:
    request_sink(std::vector<field>& fields, std::string& body) : fields_(fields), body_(body) {}

    std::string_view method_token;
    std::string_view target;
    bool http11 = false;
    bool expect_continue = false;
    bool keep_body = true;
    // Options of all Connection fields. Beast takes Proxy-Connection for one too, and on HTTP/1.0
    // lets `keep-alive` win over `close`.
    bool says_close = false;
    bool says_keep_alive = false;

private:
    using error_code = boost::beast::error_code;
    using text = boost::beast::string_view;

    void on_request_impl(boost::beast::http::verb, text method, text target, int version,
                         error_code&) override;
    void on_response_impl(int, text, int, error_code&) override {}
    void on_field_impl(boost::beast::http::field, text name, text value, error_code&) override;
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(text body, error_code&) override;
    void on_chunk_header_impl(std::uint64_t, text, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, text body, error_code&) override;
    void on_finish_impl(error_code&) override {}

    void read_connection(std::string_view options) noexcept;

    std::vector<field>& fields_;
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
    std::string_view method_token() const noexcept { return sink_->method_token; }
    std::string_view target() const noexcept { return sink_->target; }
    std::span<const field> fields() const noexcept { return fields_; }
    bool http11() const noexcept { return sink_->http11; }
    /// RFC 9112 9.3: `close` wins, then the version decides unless `keep-alive` was asked for.
    bool keep_alive() const noexcept {
        return !sink_->says_close && (sink_->http11 || sink_->says_keep_alive);
    }
    bool expects_continue() const noexcept { return sink_->expect_continue && sink_->http11; }
    /// A body that is not empty, as far as the header tells.
    bool has_body() const { return sink_->chunked() || sink_->content_length().value_or(0) > 0; }
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
    std::string head_;  // a copy, so that views stay while the buffer is filled again
    std::vector<field> fields_;
    std::string body_;
    std::optional<request_sink> sink_;
    std::optional<chunk_guard> chunks_;
    std::size_t guarded_ = 0;  // octets of the buffer the chunk guard has let pass
};

}  // namespace insula::http
