#include "insula/identity/context.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement assert_session{
    "identity.assert_session", "select control.assert_session($1, $2::bigint::integer, $3, $4)"};

}  // namespace

void add_assert_session(pg::unit& unit, const token::claims& who) {
    unit.add(assert_session, who.session, who.session_version, who.subject, who.tenant);
}

}  // namespace insula::identity
