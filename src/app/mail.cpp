// From the configuration to the transport, and what `insula doctor` says about it.
#include "doctor.hpp"
#include "instance_state.hpp"

#include "insula/mail/file_transport.hpp"
#include "insula/mail/smtp_transport.hpp"

#include <algorithm>

namespace insula::app {
namespace {

constexpr unsigned deliveries_max = 16;
constexpr std::chrono::seconds look_limit{10};

finding examine_server(const mail::smtp_server& server, const mail::mailbox& sender) {
    const auto seen = mail::check_smtp_server(server, sender, look_limit);
    return {"mail", seen.ok() ? verdict::ok : verdict::fail,
            server.describe() + (seen.ok() ? ": answers" : ": " + seen.reason)};
}

finding examine_folder(const std::string& folder) {
    const auto usable = mail::check_mail_folder(folder);
    return {"mail", usable ? verdict::ok : verdict::fail,
            usable ? "files in " + folder : std::string(usable.error().internal())};
}

}  // namespace

std::unique_ptr<mail::transport> make_mail_transport(checked_config& settings, std::string folder,
                                                     runtime::cpu_pool& pool,
                                                     observe::metrics& metrics) {
    if (!settings.smtp) {
        return std::make_unique<mail::file_transport>(std::move(folder), pool, metrics);
    }
    // One worker is always left for other tasks, whatever the mail server does.
    const auto workers = std::clamp(settings.values.workers, 2U, deliveries_max + 1);
    return std::make_unique<mail::smtp_transport>(
        std::move(*settings.smtp), mail::smtp_options{.deliveries_max = workers - 1}, metrics);
}

finding examine_mail(const config& values) {
    const auto sender = mail::mailbox::parse(values.mail_from);
    if (!sender) {
        return {"mail", verdict::fail, "mail_from " + sender.error().detail};
    }
    if (values.mail != "smtp") {
        return examine_folder(values.mail_dir.empty() ? "./mail" : values.mail_dir);
    }
    const auto server = smtp_server_of(values, *sender);
    return server ? examine_server(**server, *sender)
                  : finding{"mail", verdict::fail, std::string(server.error().internal())};
}

}  // namespace insula::app
