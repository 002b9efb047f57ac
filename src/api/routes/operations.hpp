#pragma once
// What machines and tools ask.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr operation alive = {
    .id = "livez", .tag = "operations", .summary = "The process runs", .response = &schema::health};
inline constexpr operation ready = {.id = "readyz",
                                    .tag = "operations",
                                    .summary = "Ready for traffic; if not, what is missing",
                                    .response = &schema::readiness,
                                    .unready = &schema::readiness};
inline constexpr operation measured = {.id = "metrics",
                                       .tag = "operations",
                                       .summary = "Prometheus metrics",
                                       .response = &schema::text,
                                       .media = "text/plain"};

inline constexpr auto operations_rows = std::to_array<row>({
    {get, "/livez", anonymous<&livez>(alive)},
    {get, "/readyz", anonymous<&readyz>(ready)},
    {get, "/metrics", anonymous<&metrics_text>(measured)},
    {get,
     "/openapi.json",
     anonymous<&openapi>({.id = "openapi",
                          .tag = "operations",
                          .summary = "This document",
                          .response = &schema::any_object}),
     {.rate = "anonymous"}},
    {get,
     "/docs",
     anonymous<&docs>({.id = "docs",
                       .tag = "operations",
                       .summary = "This document as a page to read",
                       .response = &schema::text,
                       .media = "text/html"}),
     {.rate = "anonymous"}},
    {get,
     "/.well-known/jwks.json",
     anonymous<&jwks>({.id = "jwks",
                       .tag = "operations",
                       .summary = "The public keys of access tokens",
                       .response = &schema::jwks,
                       .media = "application/jwk-set+json"}),
     {.rate = "anonymous"}},
    {get,
     "/.well-known/openid-configuration",
     anonymous<&openid_configuration>({.id = "openidConfiguration",
                                       .tag = "operations",
                                       .summary = "Issuer, address of the keys, algorithms",
                                       .response = &schema::openid_configuration}),
     {.rate = "anonymous"}},
});

inline constexpr auto admin_table = std::to_array<row>({
    {get, "/livez", anonymous<&livez>(alive)},
    {get, "/readyz", anonymous<&readyz>(ready)},
    {get, "/metrics", anonymous<&metrics_text>(measured)},
});

}  // namespace insula::api::rows
