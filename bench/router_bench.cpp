// Finding the route of a request in the service's own table, beside a scan over the same patterns
// and a hash map of paths without parameters.
#include "api/routes.hpp"
#include "count_allocations.hpp"

#include <benchmark/benchmark.h>

#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using namespace insula;
using http::method;

struct wanted {
    const char* name;
    method as;
    std::string_view path;
    int status;  // 200: a route; 404, 405
};

constexpr wanted kinds[] = {
    {"literal_first", method::post, "/api/v1/auth/login", 200},
    {"literal_deep", method::get, "/api/v1/users/me", 200},
    {"one_parameter", method::get, "/api/v1/projects/01890a5d-ac96-774b-bcce-b302099a8057", 200},
    {"parameter_and_literal", method::post,
     "/api/v1/invites/01890a5d-ac96-774b-bcce-b302099a8057/resend", 200},
    {"two_parameters", method::get,
     "/api/v1/audit/logs/entity/project/01890a5d-ac96-774b-bcce-b302099a8057", 200},
    {"head", method::head, "/api/v1/projects", 200},
    {"unknown_first_segment", method::get, "/wp-login.php", 404},
    {"unknown_last_segment", method::get, "/api/v1/projects/1/2/3", 404},
    {"too_many_segments", method::get, "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", 404},
    {"wrong_method", method::put, "/api/v1/projects", 405},
};

/// What a router is without thought: every pattern in turn, segment by segment, literals before
/// parameters by the order of the table. Same answers (allowed methods included), no allocation.
class scan {
public:
    scan() {
        for (const auto& row : api::routes.rows()) {
            patterns_.push_back({row.method, row.pattern, &row});
        }
    }
    http::route_match match(method m, std::string_view path) const {
        http::route_match found;
        unsigned mask = 0;
        const auto routed = m == method::head ? method::get : m;
        for (const auto& one : patterns_) {
            http::path_params params{};
            if (!fits(one.pattern, path, params)) {
                continue;
            }
            mask |= 1U << static_cast<unsigned>(one.as);
            if (one.as == routed && found.route == nullptr) {
                found.route = one.route;
                found.params = params;
            }
        }
        if (mask != 0) {
            found.allow = http::allow_value(mask);
        }
        return found;
    }

private:
    struct one {
        method as;
        std::string_view pattern;
        const http::route_info* route;
    };

    static std::string_view take(std::string_view& rest) {
        const auto slash = rest.find('/');
        const auto segment = rest.substr(0, slash);
        rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
        return segment;
    }
    static bool fits(std::string_view pattern, std::string_view path, http::path_params& params) {
        std::size_t used = 0;
        pattern.remove_prefix(1);
        path.remove_prefix(1);
        while (!pattern.empty() && !path.empty()) {
            const auto want = take(pattern);
            const auto got = take(path);
            if (want.starts_with('{')) {
                params[used++] = got;
            } else if (want != got) {
                return false;
            }
        }
        return pattern.empty() && path.empty();
    }

    std::vector<one> patterns_;
};

/// A floor for paths without parameters: one look-up of the whole path.
class whole_paths {
public:
    whole_paths() {
        for (const auto& row : api::routes.rows()) {
            if (row.pattern.find('{') == std::string_view::npos) {
                rows_.emplace(row.pattern, &row);
            }
        }
    }
    const http::route_info* match(std::string_view path) const {
        const auto at = rows_.find(path);
        return at == rows_.end() ? nullptr : at->second;
    }

private:
    std::unordered_map<std::string_view, const http::route_info*> rows_;
};

int status_of(const http::route_match& found) {
    return found.route != nullptr ? 200 : found.allow.empty() ? 404 : 405;
}

template <class Match>
void run(benchmark::State& state, const wanted& one, Match match) {
    if (status_of(match(one)) != one.status) {
        throw std::logic_error("not the route that was meant");
    }
    const auto before = bench::allocations.load();
    auto what = one;
    for (auto _ : state) {
        benchmark::DoNotOptimize(what);
        auto found = match(what);
        benchmark::DoNotOptimize(found);
    }
    state.counters["allocations"] =
        benchmark::Counter(static_cast<double>(bench::allocations.load() - before),
                           benchmark::Counter::kAvgIterations);
}

void register_all() {
    static const scan all;
    static const whole_paths paths;
    for (const auto& one : kinds) {
        const std::string label = std::string(one.name) + "/";
        benchmark::RegisterBenchmark((label + "ours").c_str(), [&one](benchmark::State& state) {
            run(state, one, [](const wanted& w) { return api::routes.match(w.as, w.path); });
        });
        benchmark::RegisterBenchmark((label + "scan").c_str(), [&one](benchmark::State& state) {
            run(state, one, [](const wanted& w) { return all.match(w.as, w.path); });
        });
    }
    benchmark::RegisterBenchmark("literal_deep/hash_of_path", [](benchmark::State& state) {
        auto what = kinds[1];
        for (auto _ : state) {
            benchmark::DoNotOptimize(what);
            benchmark::DoNotOptimize(paths.match(what.path));
        }
    });
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    register_all();
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
