// What is in the folder that INSULA_MAIL=file writes to.
#pragma once

#include "deployment.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace insula::test {

/// The mails to that address (as in the To field, between angle brackets) with that subject, whole
/// and in no order.
std::vector<std::string> mails_to(const deployment& where, std::string_view email,
                                  std::string_view subject);
/// Waits until there are so many; throws when there are not in time.
std::vector<std::string> wait_for_mails(const deployment& where, std::string_view email,
                                        std::string_view subject, std::size_t count = 1);
/// The token of a mail's link, which must be `page` of the public URL.
std::string token_in(const std::string& mail, std::string_view page);

}  // namespace insula::test
