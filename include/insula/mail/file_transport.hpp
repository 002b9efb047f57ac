#pragma once
// Mail as files: one .eml for each message, for development, tests and operators with a mailer of
// their own.

#include "insula/core/error.hpp"
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
    /// `pool` does the writing; pool and metrics outlive this object.
    file_transport(std::filesystem::path folder, runtime::cpu_pool& pool, observe::metrics& counts);

    [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

private:
    /// Deferred whatever goes wrong with files: a full disk empties, rights are granted. A writing
    /// that has begun is waited for.
    runtime::awaitable<delivery> deliver(message mail, runtime::deadline until) override;

    std::filesystem::path folder_;
    runtime::cpu_pool& pool_;
};

/// What send() does, on the calling thread. errc::overloaded: trouble with files, may go away.
[[nodiscard]] result<> write_mail_file(const std::filesystem::path& folder, const message& mail);

/// Whether mail could be written there now, and the folder made if it is missing. Leaves nothing
/// behind.
[[nodiscard]] result<> check_mail_folder(const std::filesystem::path& folder);

}  // namespace insula::mail
