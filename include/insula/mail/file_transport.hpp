#pragma once
// Mail as files: one .eml for each message, for development, tests and operators with a mailer of
// their own.

#include "insula/mail/transport.hpp"
#include "insula/runtime/cpu_pool.hpp"

#include <filesystem>

namespace insula::mail {

/// Writes FOLDER/<key>.eml (mode 0600: it holds a token). A file appears whole and on disk, or not
/// at all: it is written under another name, synced, renamed, and the folder is synced. A repeat
/// finds the file and is done, so at-least-once delivery gives one file. The folder is made (0700)
/// when it is missing.
class file_transport final : public transport {
public:
    /// `pool` does the writing and outlives this object.
    file_transport(std::filesystem::path folder, runtime::cpu_pool& pool);

    /// errc::overloaded for everything that goes wrong with files: a full disk empties, rights are
    /// granted.
    runtime::awaitable<result<>> send(message mail) override;

    [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

private:
    std::filesystem::path folder_;
    runtime::cpu_pool& pool_;
};

/// What send() does, on the calling thread.
[[nodiscard]] result<> write_mail_file(const std::filesystem::path& folder, const message& mail);

}  // namespace insula::mail
