#include "insula/identity/key_store.hpp"

#include "insula/observe/log.hpp"
#include "insula/token/key.hpp"

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
        const auto fresh = token::key::generate(for_new);
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

}  // namespace insula::identity
