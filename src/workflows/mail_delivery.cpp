// One mail, handed to the transport at least once and always as the same message: its Message-ID
// and date come from the run's id, so a repeat after a crash is a repeat the receiver can
// recognise.

#include "add.hpp"

#include "insula/identity/jobs.hpp"
#include "insula/identity/mail_tokens.hpp"
#include "insula/mail/message.hpp"
#include "insula/mail/templates.hpp"
#include "insula/mail/transport.hpp"
#include "insula/queue/fault.hpp"
#include "insula/queue/workflow.hpp"

#include <algorithm>

namespace insula::workflows {
namespace {

using queue::failure;
using queue::outside_step;
using queue::step_result;

/// When the run was made: the first 48 bits of a UUIDv7 are milliseconds (RFC 9562 section 5.7).
timestamp time_of(run_id run) {
    std::int64_t milliseconds = 0;
    for (std::size_t i = 0; i < 6; ++i) {
        milliseconds = milliseconds << 8 | run.value().bytes[i];
    }
    return timestamp(std::chrono::milliseconds(milliseconds));
}

class mail_delivery : public identity::mail_job {
public:
    explicit mail_delivery(const services& with) : with_(&with) {}

    runtime::awaitable<step_result<>> send(outside_step& step, const input& in) const {
        // Later than that its link leads nowhere.
        if (now() - time_of(step.run()) > identity::lifetime_of(in.purpose)) {
            co_return failure::final("mail_expired",
                                     "The mail could not be delivered while its link was good.",
                                     "tried for as long as that");
        }
        const auto message = build(step.run(), in);
        if (!message) {
            co_return message.error();
        }
        INSULA_FAULT_POINT("mail.before_send");
        auto done = co_await with_->mail.send(*message, step.deadline());
        INSULA_FAULT_POINT("mail.after_send");
        switch (done.what) {
            case mail::delivery::outcome::deferred:
                co_return failure::retryable("mail_deferred",
                                             "The mail could not be delivered yet.",
                                             std::move(done.reason));
            case mail::delivery::outcome::rejected:
                co_return failure::final("mail_rejected", "The mail server refused this mail.",
                                         std::move(done.reason));
            case mail::delivery::outcome::sent:
                break;
        }
        co_return step_result<>();
    }

    static constexpr auto steps() {
        return queue::steps<mail_delivery>(
            {{.name = "send",
              .call = &mail_delivery::send,
              // Until the link has expired: a mail server may be away for hours.
              .retry = {.attempts_max = 0,
                        .base = std::chrono::seconds(1),
                        .cap = std::chrono::minutes(5)},
              .timeout = std::chrono::seconds(60)}});
    }

private:
    /// Where the mail's link leads; empty for a notice. nullopt: the token does not open.
    std::optional<std::string> link_of(const input& in) const {
        if (in.sealed_token.empty()) {
            return std::string();
        }
        const auto token =
            with_->keys.open_token(in.sealed_token, identity::sealed_about(in.purpose, in.to));
        if (!token) {
            return std::nullopt;
        }
        std::string path = in.purpose;
        std::ranges::replace(path, '_', '-');
        return with_->public_url + "/" + path + "?token=" + std::string(token->view());
    }

    result<mail::message> build(run_id run, const input& in) const {
        auto link = link_of(in);
        const auto address = email_address::parse(in.to);
        const auto key = mail::message_key::parse(run.str());
        if (!link || !address || !key) {
            return error(errc::internal, {},
                         "the mail's input does not open under this key-encryption key");
        }
        auto text =
            with_->templates.render(in.purpose, {.link = std::move(*link),
                                                 .full_name = in.full_name,
                                                 .tenant_name = in.tenant_name,
                                                 .role = in.role,
                                                 .inviter_name = in.inviter_name,
                                                 .inviter_email = in.inviter_email,
                                                 .lifetime = identity::lifetime_of(in.purpose)});
        if (!text) {
            return text.error();
        }
        return mail::message{*key,
                             with_->mail_from,
                             {in.full_name, *address},
                             std::move(text->subject),
                             std::move(text->body),
                             time_of(run)};
    }

    const services* with_;
};

}  // namespace

void add_mail_delivery(queue::registry& to, const services& with) {
    to.add(mail_delivery(with));
}

}  // namespace insula::workflows
