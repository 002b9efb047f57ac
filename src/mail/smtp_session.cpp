#include "smtp_session.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace insula::mail {
namespace {

using std::chrono::milliseconds;

// Servers end idle connections themselves, most after minutes; an older one is not tried again.
constexpr long idle_seconds_max = 30;
// QUIT is a courtesy: nobody waits long for its answer.
constexpr long quit_wait_seconds = 1;

void init_once() {
    static const CURLcode made = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (made != CURLE_OK) {
        throw std::runtime_error("libcurl cannot be initialised");
    }
}

template <class Value>
void set(CURL* curl, CURLoption option, Value value) {
    if (const auto code = curl_easy_setopt(curl, option, value); code != CURLE_OK) {
        throw std::runtime_error("libcurl option " + std::to_string(option) + ": " +
                                 curl_easy_strerror(code));
    }
}

std::int64_t now_ns() {
    return runtime::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

smtp_end end_of(CURLcode code) noexcept {
    switch (code) {
        case CURLE_OK:
            return smtp_end::done;
        case CURLE_LOGIN_DENIED:
        case CURLE_AUTH_ERROR:
            return smtp_end::login_denied;
        case CURLE_USE_SSL_FAILED:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_SSL_CERTPROBLEM:
            return smtp_end::tls_failed;
        case CURLE_ABORTED_BY_CALLBACK:
            return smtp_end::stopped;
        default:
            return smtp_end::broken;
    }
}

long curl_encryption(smtp_server::encryption tls) noexcept {
    switch (tls) {
        case smtp_server::encryption::none:
            return CURLUSESSL_NONE;
        case smtp_server::encryption::if_offered:
            return CURLUSESSL_TRY;
        case smtp_server::encryption::starttls:
        case smtp_server::encryption::from_start:
            break;
    }
    return CURLUSESSL_ALL;
}

}  // namespace

struct smtp_session::upload {
    std::string_view rest;
};

smtp_session::smtp_session(const smtp_server& server, milliseconds connect_limit,
                           const std::atomic<std::int64_t>& give_up_at)
    : server_(server),
      connect_limit_(connect_limit),
      give_up_at_(give_up_at),
      curl_((init_once(), curl_easy_init()), &curl_easy_cleanup) {
    if (!curl_) {
        throw std::runtime_error("libcurl cannot be used");
    }
}

smtp_session::~smtp_session() {
    // libcurl says QUIT to kept connections and waits for the answer, minutes if need be.
    hang_up();
}

smtp_attempt smtp_session::send(const smtp_envelope& envelope, std::string_view text,
                                runtime::deadline until) {
    smtp_dialogue said(envelope.needs_utf8);
    const auto sender_domain = envelope.from.substr(envelope.from.rfind('@') + 1);
    prepare(server_.name.empty() ? sender_domain : server_.name, said, until);
    upload body{text};
    auto* curl = curl_.get();
    const auto from = "<" + envelope.from + ">";
    const auto to = "<" + envelope.to + ">";
    const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> receivers(
        curl_slist_append(nullptr, to.c_str()), &curl_slist_free_all);
    set(curl, CURLOPT_MAIL_FROM, from.c_str());
    set(curl, CURLOPT_MAIL_RCPT, receivers.get());
    set(curl, CURLOPT_UPLOAD, 1L);
    set(curl, CURLOPT_READFUNCTION, &on_read);
    set(curl, CURLOPT_READDATA, &body);
    set(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(text.size()));
    return perform(said, text);
}

smtp_attempt smtp_session::check(const std::string& name, runtime::deadline until) {
    smtp_dialogue said(false);
    prepare(server_.name.empty() ? name : server_.name, said, until);
    set(curl_.get(), CURLOPT_CUSTOMREQUEST, "NOOP");
    set(curl_.get(), CURLOPT_NOBODY, 1L);
    return perform(said, {});
}

void smtp_session::prepare(const std::string& name, smtp_dialogue& said, runtime::deadline until) {
    auto* curl = curl_.get();
    curl_easy_reset(curl);  // keeps the connection
    const bool from_start = server_.tls == smtp_server::encryption::from_start;
    const auto url = (from_start ? "smtps://" : "smtp://") + server_.host + ":" +
                     std::to_string(server_.port) + "/" + name;
    set(curl, CURLOPT_URL, url.c_str());
    set(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    set(curl, CURLOPT_PROXY, "");  // not even by environment
    set(curl, CURLOPT_NOSIGNAL, 1L);
    set(curl, CURLOPT_QUICK_EXIT, 1L);  // a name look-up that hangs is left behind
    const auto left = std::chrono::ceil<milliseconds>(
        std::min<std::chrono::nanoseconds>(until.remaining(), std::chrono::hours(1)));
    set(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(left.count(), 1)));
    set(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect_limit_.count()));
    set(curl, CURLOPT_MAXAGE_CONN, idle_seconds_max);
    set(curl, CURLOPT_USE_SSL, curl_encryption(server_.tls));
    set(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!server_.ca_file.empty()) {
        set(curl, CURLOPT_CAINFO, server_.ca_file.c_str());
        set(curl, CURLOPT_CAPATH, static_cast<char*>(nullptr));
    }
    if (!server_.user.empty()) {
        set(curl, CURLOPT_USERNAME, server_.user.c_str());
        const std::string password(server_.password.view());
        set(curl, CURLOPT_PASSWORD, password.c_str());
    }
    said_ = &said;
    set(curl, CURLOPT_VERBOSE, 1L);  // to our function only: which command a reply answers to
    set(curl, CURLOPT_DEBUGFUNCTION, &on_debug);
    set(curl, CURLOPT_DEBUGDATA, &said);
    set(curl, CURLOPT_HEADERFUNCTION, &on_reply);
    set(curl, CURLOPT_HEADERDATA, this);
    set(curl, CURLOPT_NOPROGRESS, 0L);
    set(curl, CURLOPT_XFERINFOFUNCTION, &on_progress);
    set(curl, CURLOPT_XFERINFODATA, this);
    set(curl, CURLOPT_OPENSOCKETFUNCTION, &on_open);
    set(curl, CURLOPT_OPENSOCKETDATA, this);
    set(curl, CURLOPT_CLOSESOCKETFUNCTION, &on_close);
    set(curl, CURLOPT_CLOSESOCKETDATA, this);
}

smtp_attempt smtp_session::perform(smtp_dialogue& said, std::string_view text) {
    std::array<char, CURL_ERROR_SIZE> trouble{};
    set(curl_.get(), CURLOPT_ERRORBUFFER, trouble.data());
    const auto code = curl_easy_perform(curl_.get());
    set(curl_.get(), CURLOPT_ERRORBUFFER, static_cast<char*>(nullptr));
    said_ = nullptr;
    if (code != CURLE_OK) {
        // Whatever state the connection is in, the next mail gets a new one.
        hang_up();
    }
    const std::string_view words(trouble.data());
    return judge(said, end_of(code),
                 words.empty() ? std::string_view(curl_easy_strerror(code)) : words, text);
}

void smtp_session::hang_up() noexcept {
    for (const auto fd : sockets_) {
        ::shutdown(fd, SHUT_RDWR);
    }
}

int smtp_session::on_debug(CURL*, curl_infotype kind, char* data, std::size_t size, void* said) {
    if (kind == CURLINFO_HEADER_OUT) {
        static_cast<smtp_dialogue*>(said)->command({data, size});
    }
    return 0;
}

std::size_t smtp_session::on_reply(char* data, std::size_t, std::size_t size, void* self) {
    auto& session = *static_cast<smtp_session*>(self);
    if (session.said_ == nullptr) {
        return size;
    }
    const bool go_on = session.said_->reply({data, size});
    if (!go_on || session.said_->refused()) {
        curl_easy_setopt(session.curl_.get(), CURLOPT_SERVER_RESPONSE_TIMEOUT, quit_wait_seconds);
    }
    return go_on ? size : 0;
}

std::size_t smtp_session::on_read(char* buffer, std::size_t, std::size_t size, void* rest) {
    auto& text = static_cast<upload*>(rest)->rest;
    const auto count = std::min(size, text.size());
    std::memcpy(buffer, text.data(), count);
    text.remove_prefix(count);
    return count;
}

int smtp_session::on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const auto& session = *static_cast<smtp_session*>(self);
    return now_ns() >= session.give_up_at_.load(std::memory_order_relaxed) ? 1 : 0;
}

curl_socket_t smtp_session::on_open(void* self, curlsocktype, curl_sockaddr* address) {
    const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
        return CURL_SOCKET_BAD;
    }
    static_cast<smtp_session*>(self)->sockets_.push_back(fd);
    return fd;
}

int smtp_session::on_close(void* self, curl_socket_t fd) {
    std::erase(static_cast<smtp_session*>(self)->sockets_, fd);
    return ::close(fd);
}

}  // namespace insula::mail
