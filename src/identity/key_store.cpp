#include "insula/identity/key_store.hpp"

#include "insula/identity/run_change.hpp"
#include "insula/observe/log.hpp"
#include "insula/token/key.hpp"

#include <algorithm>

namespace insula::identity {
namespace {

constexpr pg::statement read_keys{
    "keys.read",
    "select kid, algorithm, state, sealed_private from control.signing_key"
    " order by state = 'active' desc, created_at desc limit 64"};
constexpr pg::statement add_key{
    "keys.add",
    "insert into control.signing_key (kid, algorithm, state, sealed_private)"
    " values ($1, $2, 'active', $3) on conflict do nothing"};

constexpr pg::statement list_keys{
    "keys.list",
    "select kid, algorithm, state, created_at, changed_at from control.signing_key"
    " order by state = 'active' desc, created_at desc"};
constexpr pg::statement rotate_key{"keys.rotate",
                                   "select control.rotate_signing_key($1, $2, $3, $4)"};
constexpr pg::statement revoke_key{"keys.revoke",
                                   "select control.revoke_signing_key($1, $2, $3, $4, $5)"};
constexpr pg::statement find_was{
    "keys.was", "select l.changes ->> 'was' from control.audit_log l where l.id = $1"};
constexpr pg::statement find_before{
    "keys.before", "select l.changes ->> 'before' from control.audit_log l where l.id = $1"};

using text = std::optional<std::string>;

/// Its kid is typed behind `insula keys revoke`, where a hyphen in front would be an option's.
token::key fresh_key(token::algorithm algorithm) {
    auto fresh = token::key::generate(algorithm);
    while (fresh.kid().starts_with('-')) {
        fresh = token::key::generate(algorithm);
    }
    return fresh;
}

result<std::vector<token::key_entry>> open_all(const pg::result_set& rows,
                                               const secret_keys& keys) {
    std::vector<token::key_entry> entries;
    for (const auto row : rows) {
        const auto kid = row.get<std::string>(0);
        const auto algorithm = token::parse_algorithm(row.get<std::string_view>(1));
        const auto state = token::parse_key_state(row.get<std::string_view>(2));
        if (!algorithm || !state) {
            return error(errc::internal, {},
                         "signing key " + kid + " has an algorithm this version does not know");
        }
        auto key = token::open_key(*algorithm, kid, row.get<std::vector<std::uint8_t>>(3),
                                   keys.signing_key_encryption());
        if (!key) {
            return error(
                errc::internal, {},
                "signing key " + kid +
                    " does not open: INSULA_KEY_ENCRYPTION_KEY is not the one it was stored under");
        }
        entries.push_back({std::move(*key), *state});
    }
    return entries;
}

}  // namespace

runtime::awaitable<result<std::shared_ptr<const token::key_set>>> read_signing_keys(
    pg::pool& control, const secret_keys& keys, runtime::deadline until) {
    pg::unit look;
    look.add(read_keys);
    auto rows = co_await control.run(std::move(look), until);
    if (!rows) {
        co_return pg::to_error(rows.error());
    }
    auto entries = open_all(rows->front(), keys);
    if (!entries) {
        co_return entries.error();
    }
    co_return token::key_set::make(std::move(*entries));
}

runtime::awaitable<result<std::shared_ptr<const token::key_set>>> load_signing_keys(
    pg::pool& control, const secret_keys& keys, token::algorithm for_new, runtime::deadline until) {
    // Twice at most: after our insert, or a neighbour's, there is an active key.
    for (int attempt = 0; attempt < 2; ++attempt) {
        auto set = co_await read_signing_keys(control, keys, until);
        if (!set || (*set)->signing() != nullptr) {
            co_return set;
        }
        const auto fresh = fresh_key(for_new);
        pg::unit add;
        add.add(add_key, fresh.kid(), token::name(for_new),
                token::seal_key(fresh, keys.signing_key_encryption()));
        auto added = co_await control.run(std::move(add), until);
        if (!added) {
            co_return pg::to_error(added.error());
        }
        observe::info("signing key made",
                      {{"kid", fresh.kid()}, {"algorithm", token::name(for_new)}});
    }
    co_return error(errc::internal, {}, "there is no active signing key, and none could be made");
}

runtime::awaitable<result<std::vector<signing_key_record>>> list_signing_keys(
    pg::pool& control, runtime::deadline until) {
    pg::unit look;
    look.add(list_keys);
    const auto rows = co_await control.run(std::move(look), until);
    if (!rows) {
        co_return pg::to_error(rows.error());
    }
    std::vector<signing_key_record> all;
    for (const auto row : rows->front()) {
        all.push_back({.kid = row.get<std::string>(0),
                       .algorithm = row.get<std::string>(1),
                       .state = token::parse_key_state(row.get<std::string_view>(2)).value(),
                       .created_at = row.get<timestamp>(3),
                       .changed_at = row.get<timestamp>(4)});
    }
    co_return all;
}

runtime::awaitable<result<rotated_key>> rotate_signing_key(pg::pool& control,
                                                           const secret_keys& keys,
                                                           token::algorithm algorithm,
                                                           runtime::deadline until) {
    const auto fresh = fresh_key(algorithm);
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(rotate_key, audited, fresh.kid(), token::name(algorithm),
             token::seal_key(fresh, keys.signing_key_encryption()));
    pg::unit again;
    again.add(find_before, audited);
    const auto done =
        co_await run_change(control, std::move(work), audited, until, std::move(again));
    if (!done) {
        co_return pg::to_error(done.error());
    }
    const auto before = done->answers.at(done->looked_up ? 1 : 0).scalar<text>();
    co_return rotated_key{fresh.kid(), before.value_or("")};
}

runtime::awaitable<result<revoked_key>> revoke_signing_key(
    pg::pool& control, const secret_keys& keys, std::string kid,
    std::optional<token::algorithm> successor, runtime::deadline until) {
    const auto all = co_await list_signing_keys(control, until);
    if (!all) {
        co_return all.error();
    }
    const auto found = std::ranges::find(*all, kid, &signing_key_record::kid);
    if (found == all->end()) {
        co_return error(errc::not_found);
    }
    // One is made in any case: whether it is needed is decided under the lock.
    const auto algorithm = successor ? successor : token::parse_algorithm(found->algorithm);
    const auto next = fresh_key(algorithm.value_or(token::algorithm::es256));
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(revoke_key, audited, kid, next.kid(), token::name(next.alg()),
             token::seal_key(next, keys.signing_key_encryption()));
    pg::unit again;
    again.add(find_was, audited);
    const auto done =
        co_await run_change(control, std::move(work), audited, until, std::move(again));
    if (!done) {
        co_return pg::to_error(done.error());
    }
    const auto was = done->answers.at(done->looked_up ? 1 : 0).scalar<text>();
    const auto state = was ? token::parse_key_state(*was) : std::nullopt;
    if (!state) {
        co_return error(errc::not_found);
    }
    co_return revoked_key{*state, *state == token::key_state::active ? next.kid() : ""};
}

}  // namespace insula::identity
