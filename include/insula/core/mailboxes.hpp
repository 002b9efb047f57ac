#pragma once
#include <string>
#include <string_view>

namespace insula {

/// The text with "[mailbox]" for every word that holds a mail address: for log lines, where whose
/// mailbox it is has no business. Servers like to quote it in what they answer.
std::string without_mailboxes(std::string_view text);

}  // namespace insula
