// What becomes of a mail task, by what the transport says.
#include "life.hpp"

#include "insula/identity/jobs.hpp"
#include "insula/identity/mail_tokens.hpp"
#include "insula/queue/enqueue.hpp"

#include <mutex>

namespace insula::test {
namespace {

using mail::delivery;

/// Answers what it was told, one after the other, then "sent"; keeps what it was given.
class scripted_mail final : public mail::transport {
public:
    scripted_mail(observe::metrics& counts, std::vector<delivery> script)
        : transport(counts), script_(std::move(script)) {}

    std::vector<std::string> seen() {
        const std::lock_guard lock(mutex_);
        return seen_;
    }

private:
    runtime::awaitable<delivery> deliver(mail::message one, runtime::deadline) override {
        const std::lock_guard lock(mutex_);
        seen_.push_back(to_text(one));
        co_return seen_.size() <= script_.size() ? script_[seen_.size() - 1] : delivery{};
    }

    std::mutex mutex_;
    std::vector<std::string> seen_;
    std::vector<delivery> script_;
};

class mail_delivery : public life {
protected:
    /// An engine whose mail goes to the script.
    struct sender {
        sender(const installed_database& database, std::vector<delivery> script)
            : pools(loop.get(), database),
              keys(database.key()),
              mail(pools.metrics, std::move(script)),
              services{keys, mail, templates, "https://insula.test",
                       mail::mailbox::parse("no-reply@insula.test").value()},
              registry(workflows::all(services)),
              engine(loop.get(), pools.worker, pools.budget, registry, quick_engine(),
                     pools.metrics) {
            runtime::post(loop.get(), [this] { engine.start(); });
        }
        ~sender() {
            EXPECT_TRUE(loop.await(engine.drain(runtime::deadline::after(10s))));
            loop.await(pools.close());
        }

        running_loop loop;
        test_pools pools;
        identity::secret_keys keys;
        scripted_mail mail;
        mail::templates templates{""};
        workflows::services services;
        queue::registry registry;
        queue::engine engine;
    };

    /// Enqueued as a registration does it.
    void mail_somebody(sender& by) {
        run("insert into control.account (id, email, email_canonical, full_name, password_hash)"
            " values ('0193e7a0-0000-7000-8000-000000000001', 'ada@example.org',"
            " 'ada@example.org', 'Ada', 'x')");
        pg::unit work;
        identity::add_verification_mail(
            work, by.keys,
            {user_id::parse("0193e7a0-0000-7000-8000-000000000001").value(), "ada@example.org",
             "ada@example.org", "Ada"});
        commit(by, std::move(work));
    }
    void commit(sender& by, pg::unit work) {
        ASSERT_TRUE(
            by.loop.await(by.pools.control.run(std::move(work), runtime::deadline::after(10s))));
        by.engine.wake();
    }
    testing::AssertionResult ends_as(const std::string& state_and_code) {
        return becomes(
            "select string_agg(state || ' ' || coalesce(error_code, 'ok'), ',')"
            " from queue.history where kind = 'mail.send'",
            state_and_code);
    }
};

TEST_F(mail_delivery, deferred_mail_is_tried_again_as_the_very_same_mail) {
    sender by(database, {delivery::deferred("451 later"), delivery::not_tried("busy")});
    mail_somebody(by);
    ASSERT_TRUE(ends_as("4 ok"));
    const auto seen = by.mail.seen();
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_EQ(seen[0], seen[1]);
    EXPECT_EQ(seen[0], seen[2]);
    EXPECT_THAT(seen[0], testing::HasSubstr("\r\nMessage-ID: <"));
    EXPECT_THAT(seen[0], testing::HasSubstr("https://insula.test/verify-email?token="));
    EXPECT_EQ(sql("select string_agg(distinct code || ' ' || internal, ', ' order by code || ' ' ||"
                  " internal) from queue.failed_attempt"),
              "mail_deferred 451 later, mail_deferred busy");
}

TEST_F(mail_delivery, rejected_mail_fails_at_once_with_the_servers_words_for_operators_only) {
    sender by(database, {delivery::rejected("550 no such user")});
    mail_somebody(by);
    ASSERT_TRUE(ends_as("5 mail_rejected"));
    EXPECT_EQ(by.mail.seen().size(), 1U);
    EXPECT_EQ(sql("select error_internal from queue.history where kind = 'mail.send'"),
              "550 no such user");
    EXPECT_EQ(sql("select error_detail like '%550%' from queue.history where kind = 'mail.send'"),
              "f");
}

TEST_F(mail_delivery, a_mail_whose_link_has_expired_is_not_sent) {
    sender by(database, {});
    pg::unit work;
    // A UUIDv7 of 2024: made long ago, and tried in vain since.
    queue::add_enqueue(work, run_id::parse("018d5d0b-7000-7000-8000-000000000001").value(),
                       queue::request_for<identity::mail_job>({.purpose = "verify_email",
                                                               .to = "ada@example.org",
                                                               .full_name = "Ada",
                                                               .sealed_token = "x"}));
    commit(by, std::move(work));
    ASSERT_TRUE(ends_as("5 mail_expired"));
    EXPECT_TRUE(by.mail.seen().empty());
}

}  // namespace
}  // namespace insula::test
