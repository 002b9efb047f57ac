#include "insula/core/mailboxes.hpp"

#include <gtest/gtest.h>

namespace insula {
namespace {

TEST(mailboxes, addresses_stay_out_and_everything_else_stays) {
    EXPECT_EQ(without_mailboxes("550 5.1.1 <ada@example.org>: no such user"),
              "550 5.1.1 [mailbox] no such user");
    EXPECT_EQ(without_mailboxes("a@b, \"c d\"@e (f@g);h@i"),
              "[mailbox], \"c [mailbox] ([mailbox]);[mailbox]");
    EXPECT_EQ(without_mailboxes("mail_rejected (final): refused [550 ü@ö]"),
              "mail_rejected (final): refused [550 [mailbox]]");
    EXPECT_EQ(without_mailboxes(""), "");
    EXPECT_EQ(without_mailboxes(" "), " ");
    EXPECT_EQ(without_mailboxes("42P01 relation \"x.y\" does not exist"),
              "42P01 relation \"x.y\" does not exist");
}

}  // namespace
}  // namespace insula
