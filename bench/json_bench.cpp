// JSON in and out: the bodies that the API takes and answers, beside Boost.JSON alone and, where
// their headers are installed, RapidJSON and nlohmann/json. The peers check less: what is compared
// stands beside each function.
#include "count_allocations.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/json.hpp"
#include "insula/identity/login.hpp"
#include "insula/identity/registration.hpp"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <benchmark/benchmark.h>

#include <stdexcept>

#if __has_include(<rapidjson/reader.h>)
#define INSULA_BENCH_RAPIDJSON 1
#include <rapidjson/encodedstream.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#endif
#if __has_include(<nlohmann/json.hpp>)
#define INSULA_BENCH_NLOHMANN 1
#include <nlohmann/json.hpp>
#endif

namespace {

using namespace insula;

struct project_form {
    project_name name;
    patch_field<insula::description> description;
};
BOOST_DESCRIBE_STRUCT(project_form, (), (name, description))

/// The registration's members without rules: what the peers make of it.
struct plain_form {
    std::string email;
    std::string password;
    std::string full_name;
    std::string tenant_name;
    std::string tenant_slug;
};
BOOST_DESCRIBE_STRUCT(plain_form, (), (email, password, full_name, tenant_name, tenant_slug))

constexpr std::string_view login_body =
    R"({"email":"ada@analytical.example","password":"correct horse battery staple",)"
    R"("tenant_slug":"analytical-engines"})";
constexpr std::string_view registration_body =
    R"({"email":"ada@analytical.example","password":"correct horse battery staple",)"
    R"("full_name":"Ada Lovelace","tenant_name":"Analytical Engines Ltd.",)"
    R"("tenant_slug":"analytical-engines"})";

std::string project_body() {
    std::string text = R"({"name":"Bernoulli numbers","description":")";
    for (int i = 0; i < 8; ++i) {
        text += "Die Zahlen nach Note G, f\xc3\xbcr die M\xc3\xbchle gesetzt.\\n";
    }
    return text + "\"}";
}
/// The most members that an object may have, and no two alike: what finding doubles costs.
std::string wide_body() {
    std::string text = "{";
    for (int i = 0; i < 256; ++i) {
        text += (i == 0 ? "\"member_" : ",\"member_") + std::to_string(i) + "\":1";
    }
    return text + "}";
}
/// A large body of small values, as an import would have it.
std::string array_body() {
    std::string text = R"({"items":[)";
    for (int i = 0; i < 1000; ++i) {
        text += (i == 0 ? R"({"id":)" : R"(,{"id":)") + std::to_string(i) +
                R"(,"name":"Bernoulli","done":false})";
    }
    return text + "]}";
}

struct body {
    const char* name;
    std::string text;
};
const std::vector<body>& bodies() {
    static const std::vector<body> all{{"login", std::string(login_body)},
                                       {"registration", std::string(registration_body)},
                                       {"project", project_body()},
                                       {"256_members", wide_body()},
                                       {"1000_items", array_body()}};
    return all;
}

void count(benchmark::State& state, std::size_t before, std::size_t bytes) {
    state.counters["allocations"] =
        benchmark::Counter(static_cast<double>(bench::allocations.load() - before),
                           benchmark::Counter::kAvgIterations);
    state.counters["bytes"] = static_cast<double>(bytes);
}

template <class Work>
void run(benchmark::State& state, const std::string& text, Work work) {
    const auto before = bench::allocations.load();
    for (auto _ : state) {
        work(text);
    }
    count(state, before, text.size());
}

void expect(bool good) {
    if (!good) {
        throw std::logic_error("a good body was refused");
    }
}

// Text to tree. Ours also refuses doubled members, bounds depth and members, and wants valid UTF-8
// (so does Boost.JSON; RapidJSON is asked to; nlohmann always does).

void parse_ours(const std::string& text) {
    auto tree = parse_json(text);
    expect(tree.has_value());
    benchmark::DoNotOptimize(tree);
}
void parse_boost(const std::string& text) {
    auto tree = boost::json::parse(
        text, boost::json::make_shared_resource<boost::json::monotonic_resource>());
    benchmark::DoNotOptimize(tree);
}
#if INSULA_BENCH_RAPIDJSON
/// Its streaming reader, which builds nothing: the floor. (Debian's version of its tree does not
/// compile with Clang 19.)
void parse_rapidjson(const std::string& text) {
    rapidjson::Reader reader;
    rapidjson::BaseReaderHandler<> nobody;
    rapidjson::MemoryStream stream(text.data(), text.size());
    rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream> in(stream);
    expect(!reader.Parse<rapidjson::kParseValidateEncodingFlag>(in, nobody).IsError());
}
#endif
#if INSULA_BENCH_NLOHMANN
void parse_nlohmann(const std::string& text) {
    auto tree = nlohmann::json::parse(text);
    benchmark::DoNotOptimize(tree);
}
#endif

// Text to struct. `form` is what the handler gets: every rule of every member checked, unknown
// members refused. `plain` has strings only, as the peers have, which check nothing but types.

template <class Form>
void decode_ours(const std::string& text) {
    const auto tree = parse_json(text);
    expect(tree.has_value());
    auto form = decode<Form>(*tree);
    expect(form.has_value());
    benchmark::DoNotOptimize(form);
}
void plain_boost(const std::string& text) {
    const auto tree = boost::json::parse(
        text, boost::json::make_shared_resource<boost::json::monotonic_resource>());
    const auto& object = tree.as_object();
    const auto member = [&](const char* name) {
        return std::string(std::string_view(object.at(name).as_string()));
    };
    plain_form form{member("email"), member("password"), member("full_name"), member("tenant_name"),
                    member("tenant_slug")};
    benchmark::DoNotOptimize(form);
}
#if INSULA_BENCH_NLOHMANN
void plain_nlohmann(const std::string& text) {
    const auto tree = nlohmann::json::parse(text);
    const auto member = [&](const char* name) { return tree.at(name).get<std::string>(); };
    plain_form form{member("email"), member("password"), member("full_name"), member("tenant_name"),
                    member("tenant_slug")};
    benchmark::DoNotOptimize(form);
}
#endif

// A page of projects to text, straight from the values of rows. Every writer makes ids and times
// with our functions.

struct project {
    project_id id;
    std::string name;
    std::string description;
    timestamp created_at;
    timestamp updated_at;
};

std::vector<project> projects(std::size_t count) {
    std::vector<project> rows;
    for (std::size_t i = 0; i < count; ++i) {
        rows.push_back({project_id::make(), "Bernoulli numbers " + std::to_string(i),
                        "Die Zahlen nach Note G, f\xc3\xbcr die M\xc3\xbchle gesetzt.\n\"Engine\"",
                        now(), now()});
    }
    return rows;
}

std::string write_ours(const std::vector<project>& rows) {
    std::string text;
    json_writer out(text);
    out.begin_object().key("items").begin_array();
    for (const auto& row : rows) {
        out.begin_object()
            .member("id", row.id)
            .member("name", std::string_view(row.name))
            .member("description", std::string_view(row.description))
            .member("created_at", row.created_at)
            .member("updated_at", row.updated_at)
            .end_object();
    }
    out.end_array().end_object();
    return text;
}
std::string write_boost(const std::vector<project>& rows) {
    boost::json::monotonic_resource memory;
    boost::json::array items(&memory);
    for (const auto& row : rows) {
        boost::json::object item(&memory);
        item["id"] = row.id.str();
        item["name"] = row.name;
        item["description"] = row.description;
        item["created_at"] = rfc3339(row.created_at);
        item["updated_at"] = rfc3339(row.updated_at);
        items.push_back(std::move(item));
    }
    boost::json::object page(&memory);
    page["items"] = std::move(items);
    return boost::json::serialize(page);
}
#if INSULA_BENCH_RAPIDJSON
/// Its streaming writer, which builds no tree either.
std::string write_rapidjson(const std::vector<project>& rows) {
    rapidjson::StringBuffer text;
    rapidjson::Writer<rapidjson::StringBuffer> out(text);
    const auto put = [&](std::string_view name, std::string_view value) {
        out.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
        out.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
    };
    out.StartObject();
    out.Key("items");
    out.StartArray();
    for (const auto& row : rows) {
        out.StartObject();
        put("id", row.id.str());
        put("name", row.name);
        put("description", row.description);
        put("created_at", rfc3339(row.created_at));
        put("updated_at", rfc3339(row.updated_at));
        out.EndObject();
    }
    out.EndArray();
    out.EndObject();
    return {text.GetString(), text.GetSize()};
}
#endif
#if INSULA_BENCH_NLOHMANN
std::string write_nlohmann(const std::vector<project>& rows) {
    nlohmann::ordered_json page;
    auto& items = page["items"] = nlohmann::ordered_json::array();
    for (const auto& row : rows) {
        items.push_back({{"id", row.id.str()},
                         {"name", row.name},
                         {"description", row.description},
                         {"created_at", rfc3339(row.created_at)},
                         {"updated_at", rfc3339(row.updated_at)}});
    }
    return page.dump();
}
#endif

void write(benchmark::State& state, std::string (*with)(const std::vector<project>&)) {
    const auto rows = projects(static_cast<std::size_t>(state.range(0)));
    const auto text = with(rows);
    // All writers say the same (nobody here escapes / or what is not ASCII).
    expect(boost::json::parse(text) == boost::json::parse(write_ours(rows)));
    const auto before = bench::allocations.load();
    for (auto _ : state) {
        benchmark::DoNotOptimize(with(rows));
    }
    count(state, before, text.size());
}

// The small pieces that every request is made of.

void make_uuid(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(make_uuid_v7());
    }
}
void write_uuid(benchmark::State& state) {
    const auto id = make_uuid_v7();
    char text[36];
    for (auto _ : state) {
        id.write(text);
        benchmark::DoNotOptimize(text);
    }
}
void parse_uuid(benchmark::State& state) {
    const auto text = make_uuid_v7().str();
    for (auto _ : state) {
        benchmark::DoNotOptimize(uuid::parse(text));
    }
}
void write_time(benchmark::State& state) {
    auto at = now();
    char text[rfc3339_size];
    for (auto _ : state) {
        benchmark::DoNotOptimize(at);
        write_rfc3339(at, text);
        benchmark::DoNotOptimize(text);
    }
}
void parse_time(benchmark::State& state) {
    const auto text = rfc3339(now());
    for (auto _ : state) {
        benchmark::DoNotOptimize(parse_rfc3339(text));
    }
}
void encode_base64url(benchmark::State& state) {
    const std::string data(static_cast<std::size_t>(state.range(0)), '\x5a');
    for (auto _ : state) {
        benchmark::DoNotOptimize(base64url_encode(as_bytes(data)));
    }
}
void decode_base64url(benchmark::State& state) {
    const std::string data(static_cast<std::size_t>(state.range(0)), '\x5a');
    const auto text = base64url_encode(as_bytes(data));
    for (auto _ : state) {
        benchmark::DoNotOptimize(base64url_decode(text));
    }
}
void write_string(benchmark::State& state) {
    const std::string text(static_cast<std::size_t>(state.range(0)), 'x');
    std::string out;
    for (auto _ : state) {
        out.clear();
        append_json_string(out, text);
        benchmark::DoNotOptimize(out);
    }
}

using text_work = void (*)(const std::string&);

void add(const std::string& name, const std::string& text, text_work work) {
    benchmark::RegisterBenchmark(
        name.c_str(), [&text, work](benchmark::State& state) { run(state, text, work); });
}

void register_bodies() {
    for (const auto& [name, text] : bodies()) {
        const auto label = "parse/" + std::string(name) + "/";
        add(label + "ours", text, parse_ours);
        add(label + "boost", text, parse_boost);
#if INSULA_BENCH_RAPIDJSON
        add(label + "rapidjson_reader", text, parse_rapidjson);
#endif
#if INSULA_BENCH_NLOHMANN
        add(label + "nlohmann", text, parse_nlohmann);
#endif
    }
    const auto& login = bodies()[0].text;
    const auto& registration = bodies()[1].text;
    add("form/login/ours", login, decode_ours<identity::login_form>);
    add("form/registration/ours", registration, decode_ours<identity::registration_form>);
    add("form/project/ours", bodies()[2].text, decode_ours<project_form>);
    add("plain/registration/ours", registration, decode_ours<plain_form>);
    add("plain/registration/boost", registration, plain_boost);
#if INSULA_BENCH_NLOHMANN
    add("plain/registration/nlohmann", registration, plain_nlohmann);
#endif
}

void register_writers() {
    const auto add_writer = [](const char* name, auto* with) {
        benchmark::RegisterBenchmark((std::string("write/") + name).c_str(),
                                     [with](benchmark::State& state) { write(state, with); })
            ->Arg(1)
            ->Arg(50);
    };
    add_writer("ours", write_ours);
    add_writer("boost", write_boost);
#if INSULA_BENCH_RAPIDJSON
    add_writer("rapidjson", write_rapidjson);
#endif
#if INSULA_BENCH_NLOHMANN
    add_writer("nlohmann", write_nlohmann);
#endif
}

BENCHMARK(make_uuid)->Name("piece/make_uuid");
BENCHMARK(write_uuid)->Name("piece/write_uuid");
BENCHMARK(parse_uuid)->Name("piece/parse_uuid");
BENCHMARK(write_time)->Name("piece/write_time");
BENCHMARK(parse_time)->Name("piece/parse_time");
BENCHMARK(encode_base64url)->Name("piece/encode_base64url")->Arg(32)->Arg(300);
BENCHMARK(decode_base64url)->Name("piece/decode_base64url")->Arg(32)->Arg(300);
BENCHMARK(write_string)->Name("piece/write_string")->Arg(20)->Arg(1000);

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    register_bodies();
    register_writers();
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
