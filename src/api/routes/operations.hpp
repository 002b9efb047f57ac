#pragma once
// What machines and tools ask.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr auto operations_rows = std::to_array<row>({
    {get, "/livez",
     anonymous<&livez>({.id = "livez", .tag = "operations", .summary = "The process runs"})},
    {get, "/readyz",
     anonymous<&readyz>({.id = "readyz", .tag = "operations", .summary = "Ready for traffic"})},
    {get, "/metrics",
     anonymous<&metrics_text>(
         {.id = "metrics", .tag = "operations", .summary = "Prometheus metrics"})},
    {get,
     "/openapi.json",
     anonymous<&openapi>({.id = "openapi", .tag = "operations", .summary = "This document"}),
     {.rate = "anonymous"}},
    {get,
     "/.well-known/jwks.json",
     anonymous<&jwks>(
         {.id = "jwks", .tag = "operations", .summary = "Public keys of access tokens"}),
     {.rate = "anonymous"}},
    {get,
     "/.well-known/openid-configuration",
     anonymous<&openid_configuration>({.id = "openidConfiguration",
                                       .tag = "operations",
                                       .summary = "Issuer, keys and algorithms"}),
     {.rate = "anonymous"}},
});

inline constexpr auto admin_table = std::to_array<row>({
    {get, "/livez",
     anonymous<&livez>({.id = "livez", .tag = "operations", .summary = "The process runs"})},
    {get, "/readyz",
     anonymous<&readyz>({.id = "readyz", .tag = "operations", .summary = "Ready for traffic"})},
    {get, "/metrics",
     anonymous<&metrics_text>(
         {.id = "metrics", .tag = "operations", .summary = "Prometheus metrics"})},
});

}  // namespace insula::api::rows
