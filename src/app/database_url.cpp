#include "insula/app/database_url.hpp"

#include "insula/tenancy/names.hpp"

#include <libpq-fe.h>

#include <memory>

namespace insula::app {
namespace {

/// libpq's quoting of a conninfo value (manual, section 34.1.1.1).
std::string quoted(std::string_view value) {
    std::string out = "'";
    for (const char c : value) {
        if (c == '\'' || c == '\\') {
            out.push_back('\\');
        }
        out.push_back(c);
    }
    return out + "'";
}

}  // namespace

result<database_url> database_url::parse(std::string_view text) {
    char* message = nullptr;
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
        PQconninfoParse(std::string(text).c_str(), &message), &PQconninfoFree);
    const std::unique_ptr<char, decltype(&PQfreemem)> text_of_error(message, &PQfreemem);
    if (!options) {
        std::string reason = message != nullptr ? message : "out of memory";
        while (reason.ends_with('\n')) {
            reason.pop_back();
        }
        return error(errc::internal, {},
                     "The database URL is not one libpq understands (" + reason +
                         "). Use postgresql://host:5432/insula or host=… port=… dbname=….");
    }
    database_url url;
    for (const auto* option = options.get(); option->keyword != nullptr; ++option) {
        if (option->val == nullptr) {
            continue;
        }
        const std::string_view key = option->keyword;
        if (key == "dbname") {
            url.database_ = option->val;
        } else {
            auto& part = key == "user" || key == "password" ? url.login_ : url.rest_;
            part += std::string(key) + "=" + quoted(option->val) + " ";
        }
    }
    if (url.database_.empty()) {
        return error(errc::internal, {},
                     "The database URL names no database. Use postgresql://host:5432/insula or "
                     "dbname=insula.");
    }
    return url;
}

std::string database_url::describe_database(std::string_view database) const {
    return rest_ + "dbname=" + quoted(database);
}

std::string database_url::conninfo(std::string_view role,
                                   const secret_bytes& key_encryption_key) const {
    return rest_ + "dbname=" + quoted(database_) + " user=" + quoted(role) +
           " password=" + quoted(tenancy::login_password(key_encryption_key, role).view()) +
           " application_name=insula";
}

std::string database_url::admin_conninfo(std::string_view database) const {
    return rest_ + login_ + "dbname=" + quoted(database.empty() ? database_ : database) +
           " application_name='insula bootstrap'";
}

}  // namespace insula::app
