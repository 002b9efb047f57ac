#include "insula/identity/idempotency.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement take{"idempotency.take", "select control.idempotency_take($1, $2, $3)"};
constexpr pg::statement take_of_tenant{"idempotency.take_of_tenant",
                                       "select tenant_api.idempotency_take($1, $2, $3)"};
constexpr pg::statement find{
    "idempotency.find",
    "select sealed_answer, created_at from control.idempotency_key"
    " where scope = '00000000-0000-0000-0000-000000000000' and key_hash = $1"
    " and expires_at > now()"};
constexpr pg::statement find_of_tenant{
    "idempotency.find_of_tenant",
    "select sealed_answer, created_at from tenant_api.idempotency_answer($1)"};

error gone_meanwhile() {
    return {errc::overloaded, "Try again.", "the stored answer is gone or cannot be opened"};
}

}  // namespace

idempotency::idempotency(const secret_keys& keys, std::string_view route, std::string_view caller,
                         std::string_view key, std::string_view body)
    : keys_(keys),
      key_hash_(keys.idempotency_hash("key " + std::string(route), caller, key)),
      fingerprint_(keys.idempotency_hash("body", as_text(key_hash_), body)) {}

bytes idempotency::sealed(std::string_view answer) const {
    return keys_.seal_answer(answer, key_hash_);
}

void idempotency::add_to(pg::unit& work, std::string_view answer) const {
    work.add(take, key_hash_, fingerprint_, sealed(answer));
}

void idempotency::add_to(tenancy::tenant_unit& work, std::string_view answer) const {
    work.add(take_of_tenant, key_hash_, fingerprint_, sealed(answer));
}

std::optional<error> idempotency::explain(const pg::pg_error& failure) {
    if (failure.state == idempotency_running) {
        return error(errc::idempotency_in_progress,
                     "The first request with this Idempotency-Key is still running.")
            .with_retry_after(std::chrono::seconds(1));
    }
    if (failure.state == idempotency_other_body) {
        return error(errc::idempotency_key_reused,
                     "This Idempotency-Key was sent with another body; take a new one.")
            .with_extension(R"("errors":[{"pointer":"header/Idempotency-Key","code":"reused",)"
                            R"("detail":"was sent with another body"}])");
    }
    if (failure.state == idempotency_answered) {
        answered_ = true;
        return gone_meanwhile();
    }
    return std::nullopt;
}

result<stored_answer> idempotency::unsealed(const pg::result_set& rows) const {
    if (rows.empty()) {
        return gone_meanwhile();
    }
    const auto row = rows.front();
    const auto text = keys_.open_answer(row.get<std::span<const std::uint8_t>>(0), key_hash_);
    if (!text) {
        return gone_meanwhile();
    }
    return stored_answer{*text, row.get<timestamp>(1)};
}

runtime::awaitable<result<bool>> idempotency::repeated(pg::pool& control,
                                                       runtime::deadline until) const {
    pg::unit work;
    work.add(find, key_hash_);
    const auto answer = co_await control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    co_return !answer->front().empty();
}

runtime::awaitable<result<stored_answer>> idempotency::read(pg::pool& control,
                                                            runtime::deadline until) const {
    pg::unit work;
    work.add(find, key_hash_);
    const auto answer = co_await control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    co_return unsealed(answer->front());
}

runtime::awaitable<result<stored_answer>> idempotency::read(tenancy::tenant_scope& scope) const {
    auto work = scope.write();
    work.add(find_of_tenant, key_hash_);
    const auto answer = co_await scope.run(std::move(work));
    if (!answer) {
        co_return tenancy::to_error(answer.error());
    }
    co_return unsealed(answer->front());
}

}  // namespace insula::identity
