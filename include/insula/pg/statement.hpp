#pragma once
#include "insula/core/uuid.hpp"
#include "insula/pg/sharing.hpp"
#include "insula/pg/value.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::tenancy {
struct scope_access;
}

namespace insula::pg {

/// One SQL statement, declared `static constexpr statement rename{"projects.rename", "update
/// {t}.projects …"};`. The constructor is consteval: the text lives for ever and its address is its
/// identity in the caches.
/// `{t}` may appear only when the statement is run in a unit that has a scope.
struct statement {
    const char* name;  ///< for logs and metrics
    std::string_view text;
    bool scoped;        ///< contains `{t}`
    bool never_shared;  ///< BEGIN, SET, COPY and the like: on a lease only
    consteval statement(const char* statement_name, std::string_view sql)
        : name(statement_name),
          text(sql),
          scoped(sql.find("{t}") != std::string_view::npos),
          never_shared(detail::refused_when_shared(sql)) {}
};

/// Whose rights a unit runs with, and which schema `{t}` means. Made by tenancy only.
struct unit_scope {
    std::string role;
    uuid schema;  ///< `{t}` becomes "t_<32 hex>"
};

/// Only tenancy (and this module's tests) can make one.
class scope_passkey {
    scope_passkey() = default;
    friend struct ::insula::tenancy::scope_access;
    friend struct scope_test_access;
};

/// Budgets of one unit. Units: milliseconds as PostgreSQL takes them.
struct unit_options {
    std::chrono::milliseconds lock_timeout{
        50};  ///< on shared connections; 0 = none, for exclusive ones
    std::chrono::milliseconds statement_timeout{
        0};                             ///< per statement; 0 = what is left of the deadline
    bool allow_exclusive_retry = true;  ///< repeat on an exclusive connection after 55P03
};

/// An ordered list of statements that run as one implicit transaction, closed by a Sync of their
/// own: all or nothing, in one round trip. Parameters are encoded when added, so they need not
/// outlive `add`. A check inside a unit must RAISE: an UPDATE that touches no row is no error and
/// what follows commits.
class unit {
public:
    template <class... Params>
    unit& add(const statement& what, const Params&... params) {
        entry& e = begin_entry(what.name, what.text);
        e.scoped = what.scoped;
        e.never_shared = what.never_shared;
        (params_.push(params), ...);
        e.params_end = params_.size();
        return *this;
    }

    /// A statement that is not kept prepared: DDL, rare maintenance, tests. `text` must never
    /// contain input.
    template <class... Params>
    unit& add_once(std::string text, const Params&... params) {
        entry& e = begin_entry("once", {});
        e.scoped = text.find("{t}") != std::string::npos;
        e.never_shared = detail::refused_when_shared(text);
        e.own_text = std::move(text);
        e.once = true;
        (params_.push(params), ...);
        e.params_end = params_.size();
        return *this;
    }

    /// Run under the tenant's role; see unit_scope.
    unit& set_scope(scope_passkey, unit_scope scope) {
        scope_ = std::move(scope);
        return *this;
    }

    /// Puts another unit's statements behind this one's. A scope stays this unit's own: `other`
    /// must have none.
    unit& append(const unit& other);

    std::size_t size() const noexcept { return entries_.size(); }
    bool empty() const noexcept { return entries_.empty(); }
    const std::optional<unit_scope>& scope() const noexcept { return scope_; }

    struct entry {
        const char* name = nullptr;
        std::string_view text;
        std::string own_text;  ///< when `once`
        std::size_t params_begin = 0;
        std::size_t params_end = 0;
        bool once = false;
        bool scoped = false;  ///< contains `{t}`
        bool never_shared = false;

        std::string_view sql() const noexcept { return once ? std::string_view(own_text) : text; }
    };
    const std::vector<entry>& entries() const noexcept { return entries_; }
    const param_list& params() const noexcept { return params_; }

private:
    entry& begin_entry(const char* name, std::string_view text);

    std::vector<entry> entries_;
    param_list params_;
    std::optional<unit_scope> scope_;
};

}  // namespace insula::pg
