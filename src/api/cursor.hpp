#pragma once
#include "insula/core/error.hpp"
#include "insula/core/ids.hpp"
#include "insula/core/time.hpp"
#include "insula/http/request.hpp"
#include "insula/identity/capabilities.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace insula::api {

/// The last row a page showed. Lists are ordered by (created_at, id), newest first, so equal times
/// neither skip nor repeat a row.
struct list_position {
    timestamp created_at;
    uuid id;
};

/// Cursors of one list of one tenant: sealed, so that a cursor from elsewhere or a changed one is
/// refused (invalid_cursor) and tells nothing. `filters` is what else the list was narrowed by.
class cursor_codec {
public:
    cursor_codec(const identity::secret_keys& keys, std::string_view list, tenant_id tenant,
                 std::string_view filters = {});

    std::string write(const list_position& last) const;
    /// From `?cursor=`; nullopt when it is absent.
    result<std::optional<list_position>> read(const http::request& r) const;

private:
    const identity::secret_keys& keys_;
    std::string about_;
};

}  // namespace insula::api
