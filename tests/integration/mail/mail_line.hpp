// A loop on a thread, and a transport that is used from it as the queue uses it.
#pragma once

#include "support/mail_server.hpp"

#include "insula/mail/smtp_transport.hpp"
#include "insula/observe/log.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/post.hpp"

#include <boost/asio/co_spawn.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>

namespace insula::mail::test_support {

using namespace std::chrono_literals;
using insula::test::mail_server;
using outcome = delivery::outcome;

inline message example(const std::string& key, const std::string& to = "alice@example.com",
                       std::string body = "https://example.org/verify-email?token=abc\n") {
    message mail;
    mail.key = message_key::parse(key).value();
    mail.from = mailbox::parse("Insula <no-reply@example.org>").value();
    mail.to = {"Alice", email_address::parse(to).value()};
    mail.subject = "Hello";
    mail.body = std::move(body);
    mail.date = timestamp(std::chrono::seconds(1'700'000'000));
    return mail;
}

struct line_options {
    std::string tls = "auto";
    std::string ca{};
    smtp_options smtp{};
};

class mail_line {
public:
    explicit mail_line(const std::string& url, line_options options = {}) {
        loop_ = runtime::make_loop({.kind = runtime::backend::epoll}).value();
        thread_ = std::thread([this] { loop_->run(); });
        transport_ = std::make_unique<smtp_transport>(
            smtp_server::parse(url, options.tls, options.ca).value(), options.smtp, counts_);
    }
    ~mail_line() {
        transport_.reset();
        loop_->stop();
        thread_.join();
    }

    std::future<delivery> begin(message mail, std::chrono::milliseconds limit = 20s) {
        std::promise<delivery> promise;
        auto future = promise.get_future();
        boost::asio::co_spawn(
            loop_->get_executor(),
            transport_->send(std::move(mail), runtime::deadline::after(limit)),
            [promise = std::move(promise)](std::exception_ptr thrown, delivery done) mutable {
                if (thrown) {
                    promise.set_exception(thrown);
                } else {
                    promise.set_value(std::move(done));
                }
            });
        return future;
    }
    delivery send(message mail, std::chrono::milliseconds limit = 20s) {
        return begin(std::move(mail), limit).get();
    }

    /// How long the loop takes to do something for somebody else.
    std::chrono::nanoseconds answers_in() {
        const auto begun = std::chrono::steady_clock::now();
        std::promise<void> done;
        runtime::post(*loop_, [&] { done.set_value(); });
        done.get_future().get();
        return std::chrono::steady_clock::now() - begun;
    }
    double count(const std::string& result) {
        return counts_.counter("insula_mail_total", "", {{"result", result}}).value();
    }
    smtp_transport& transport() { return *transport_; }
    void drop() { transport_.reset(); }

private:
    observe::metrics counts_;
    std::unique_ptr<runtime::loop> loop_;
    std::thread thread_;
    std::unique_ptr<smtp_transport> transport_;
};

}  // namespace insula::mail::test_support
