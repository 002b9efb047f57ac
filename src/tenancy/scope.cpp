#include "insula/tenancy/scope.hpp"

#include "insula/tenancy/names.hpp"

#include <boost/assert.hpp>

#include <stdexcept>

namespace insula::tenancy {

/// The only maker of unit scopes (pg::scope_passkey names it as its friend).
struct scope_access {
    static pg::unit& give(pg::unit& unit, tenant_id tenant) {
        return unit.set_scope(pg::scope_passkey(), {tenant_name(tenant), tenant.value()});
    }
};

namespace {

constexpr pg::statement assert_session{
    "tenancy.assert_session", "select tenant_api.assert_session($1, $2::bigint::integer, $3)"};

constexpr pg::statement find_audit{
    "tenancy.witness",
    "select seen.at from (select tenant_api.audit_time($1) as at) seen where seen.at is not null"};

const tenant_entry& checked(const std::shared_ptr<const tenant_entry>& where,
                            const token::claims& who) {
    if (!where || who.tenant != where->id) {
        throw std::logic_error(
            "a tenant scope needs the directory entry of the token's own tenant");
    }
    return *where;
}

}  // namespace

int choose_cell(tenant_id tenant, int cells) noexcept {
    BOOST_ASSERT(cells > 0);
    // The last eight bytes of a UUIDv7 are random (RFC 9562 section 5.7).
    std::uint64_t random = 0;
    for (std::size_t i = 8; i < 16; ++i) {
        random = random << 8U | tenant.value().bytes[i];
    }
    return static_cast<int>(random % static_cast<std::uint64_t>(cells));
}

tenant_scope::tenant_scope(const cells& all, std::shared_ptr<const tenant_entry> where,
                           const token::claims& who, std::string client, std::string request_id,
                           runtime::deadline until)
    : pool_(all.of(checked(where, who).cell)),
      where_(std::move(where)),
      who_(who),
      client_(std::move(client)),
      request_id_(std::move(request_id)),
      until_(until) {}

tenant_unit tenant_scope::read() const {
    tenant_unit work;
    scope_access::give(work.unit_, where_->id);
    return work;
}

tenant_unit tenant_scope::write() const {
    tenant_unit work = read();
    work.unit_.add(assert_session, who_.session, who_.session_version, who_.subject);
    work.asserts_session_ = true;
    return work;
}

tenant_unit tenant_scope::witness(audit_id of) const {
    tenant_unit look = read();
    look.unit_.add(find_audit, of);
    return look;
}

runtime::awaitable<pg::pg_result<pg::results>> tenant_scope::run(tenant_unit work) {
    const bool strip = work.asserts_session_;
    auto answer = co_await pool_.run(std::move(work.unit_), until_);
    if (answer && strip) {
        answer->erase(answer->begin());
    }
    co_return answer;
}

runtime::awaitable<pg::pg_result<pg::witnessed>> tenant_scope::run(tenant_unit work,
                                                                   tenant_unit witness) {
    const bool strip = work.asserts_session_;
    auto answer = co_await pg::run_with_witness(pool_, std::move(work.unit_),
                                                std::move(witness.unit_), until_);
    if (answer && strip && !answer->looked_up) {
        answer->answers.erase(answer->answers.begin());
    }
    co_return answer;
}

}  // namespace insula::tenancy
