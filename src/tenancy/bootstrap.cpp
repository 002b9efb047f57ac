#include "insula/tenancy/bootstrap.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/crypto.hpp"
#include "insula/core/random.hpp"
#include "insula/pg/embedded_migrations.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

namespace insula::tenancy {
namespace {

constexpr std::chrono::seconds idle_transaction_max{60};
constexpr std::chrono::seconds unlimited{0};
constexpr int scram_iterations = 4096;  // PostgreSQL's own default
constexpr std::size_t scram_salt_size = 16;

constexpr pg::statement count_logins{
    "tenancy.count_cells",
    "select coalesce(min(n), 256)::integer from generate_series(0, 255) n"
    " where not exists (select from pg_catalog.pg_roles where rolname = $1 || n)"};

constexpr pg::statement is_superuser{
    "bootstrap.is_superuser",
    "select rolsuper from pg_catalog.pg_roles where rolname = current_user"};

/// Statements that set one login up; its password as a verifier.
std::string login_sql(const std::string& role, const secret_bytes& key, const std::string& database,
                      std::chrono::seconds idle_max) {
    const auto password = login_password(key, role);
    // A transaction that nobody goes on with, or whose client the network has lost, holds its locks
    // for a minute at most.
    return fmt::format(
        "do $$ begin if not exists (select from pg_catalog.pg_roles where rolname = {0}) then "
        "create role {1} login noinherit; end if; end $$;\n"
        "alter role {1} login noinherit nosuperuser nocreaterole nocreatedb noreplication "
        "nobypassrls password "
        "{2};\n"
        "grant connect on database {3} to {1};\n"
        "alter role {1} set idle_in_transaction_session_timeout = '{4}s';\n"
        "alter role {1} set tcp_keepalives_idle = 30;\n"
        "alter role {1} set tcp_keepalives_interval = 10;\n"
        "alter role {1} set tcp_keepalives_count = 3;\n",
        quote_literal(role), quote_identifier(role), quote_literal(scram_verifier(password.view())),
        quote_identifier(database), idle_max.count());
}

}  // namespace

std::string scram_verifier(std::string_view password) {
    bytes salt(scram_salt_size);
    random_bytes(salt);
    secret_bytes salted(digest_256().size());
    if (PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), salt.data(),
                          static_cast<int>(salt.size()), scram_iterations, EVP_sha256(),
                          static_cast<int>(salted.size()), salted.writable().data()) != 1) {
        throw infrastructure_error("PBKDF2 failed inside OpenSSL");
    }
    const auto client_key = hmac_sha256(salted.view(), as_bytes("Client Key"));
    const auto stored_key = sha256(client_key);
    const auto server_key = hmac_sha256(salted.view(), as_bytes("Server Key"));
    return fmt::format("SCRAM-SHA-256${}:{}${}:{}", scram_iterations, base64_encode(salt),
                       base64_encode(stored_key), base64_encode(server_key));
}

runtime::awaitable<pg::pg_result<>> bootstrap(pg::lease& administrator,
                                              const bootstrap_options& options) {
    // Revoking what PUBLIC has in pg_catalog is a superuser's; for others it would be a mere
    // warning.
    pg::unit look;
    look.add(is_superuser);
    const auto super = co_await administrator.exec(std::move(look));
    if (!super) {
        co_return super.error();
    }
    if (!super->front().scalar<bool>()) {
        pg::pg_error refused;
        refused.state = pg::sqlstate("42501");
        refused.message = "insula bootstrap needs a superuser, and the user of --admin-url is none";
        co_return refused;
    }
    std::string script = "begin;\nset local search_path = pg_catalog, pg_temp;\n";
    script += "set local client_min_messages = warning;\n";
    for (const auto& file : pg::embedded_bootstrap_migrations()) {
        script += expand_names(file.sql, options.roles, options.database);
    }
    const auto add_login = [&](const std::string& role, std::chrono::seconds idle) {
        script += login_sql(role, options.key_encryption_key, options.database, idle);
    };
    add_login(options.roles.owner(), unlimited);  // migrations, and commands that look for long
    add_login(options.roles.app(), idle_transaction_max);
    add_login(options.roles.worker(), idle_transaction_max);
    for (int cell = 0; cell < options.cells; ++cell) {
        add_login(options.roles.cell(cell), idle_transaction_max);
    }
    script += "commit;\n";
    co_return co_await administrator.exec_script(std::move(script));
}

runtime::awaitable<pg::pg_result<int>> count_cells(pg::pool& any, const role_names& roles,
                                                   runtime::deadline until) {
    pg::unit work;
    work.add(count_logins, roles.prefix() + "_cell_");
    auto answer = co_await any.run(std::move(work), until);
    if (!answer) {
        co_return answer.error();
    }
    co_return answer->front().scalar<std::int32_t>();
}

}  // namespace insula::tenancy
