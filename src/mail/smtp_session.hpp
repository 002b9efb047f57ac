#pragma once
// libcurl's side of SMTP: one connection, kept for the next mail. Blocks: belongs to a thread of
// its own, never to a loop's.

#include "smtp_dialogue.hpp"

#include "insula/mail/smtp_server.hpp"
#include "insula/runtime/deadline.hpp"

#include <curl/curl.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace insula::mail {

struct smtp_envelope {
    std::string from;  ///< bare addresses, domains in ASCII
    std::string to;
    bool needs_utf8 = false;
};

class smtp_session {
public:
    /// `give_up_at`, nanoseconds of the steady clock, may be lowered by other threads: whatever is
    /// going on ends then, within about a second. Server and number outlive this object.
    smtp_session(const smtp_server& server, std::chrono::milliseconds connect_limit,
                 const std::atomic<std::int64_t>& give_up_at);
    ~smtp_session();
    smtp_session(const smtp_session&) = delete;
    smtp_session& operator=(const smtp_session&) = delete;

    /// `text`: the whole mail with CRLF line ends.
    [[nodiscard]] smtp_attempt send(const smtp_envelope& envelope, std::string_view text,
                                    runtime::deadline until);
    /// Connects, greets, encrypts and logs in as for a mail, but sends NOOP.
    [[nodiscard]] smtp_attempt check(const std::string& name, runtime::deadline until);

private:
    struct upload;

    void prepare(const std::string& name, smtp_dialogue& said, runtime::deadline until);
    smtp_attempt perform(smtp_dialogue& said, std::string_view text);
    void hang_up() noexcept;

    static int on_debug(CURL*, curl_infotype kind, char* data, std::size_t size, void* said);
    static std::size_t on_reply(char* data, std::size_t, std::size_t size, void* self);
    static std::size_t on_read(char* buffer, std::size_t, std::size_t size, void* rest);
    static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
    static curl_socket_t on_open(void* self, curlsocktype, curl_sockaddr* address);
    static int on_close(void* self, curl_socket_t fd);

    const smtp_server& server_;
    std::chrono::milliseconds connect_limit_;
    const std::atomic<std::int64_t>& give_up_at_;
    smtp_dialogue* said_ = nullptr;  // of the transfer that runs
    std::vector<curl_socket_t> sockets_;
    // Last, and so gone first: on its way out it closes sockets through us.
    std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl_;
};

}  // namespace insula::mail
