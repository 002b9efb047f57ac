"""A whole session over loopback: parse, guard, route, respond."""
TITLE = "HTTP sessions"
ORDER = 45
PROGRAMS = ["http_bench"]
PATHS = {"plain_io_uring": "GET with one field", "plain_epoll": "the same on epoll",
         "one_connection_io_uring": "the same, one connection",
         "pipelined_io_uring": "the same, 16 requests at once on each",
         "api_like_io_uring": "GET with a bearer token of 600 octets, X-Request-ID and three more fields",
         "not_found_io_uring": "no such route (404, problem document)",
         "with_body_io_uring": "POST of 34 octets of JSON (guard, then Beast)", "chunked_io_uring": "the same, chunked"}
PARTS = {"read_request": "a request read by the reader: end found, header parsed and guarded",
         "parse_header_alone": "the header parsed and guarded", "match_route": "a route matched among 12",
         "write_response_head": "the head of an answer written"}


def measure(bench):
    return bench.google("http_bench", repetitions=9, min_time=0.1)


def report(data, page):
    page.text("""
The server of `src/http` with everything production has but a log line for each request: framing guard, limits and their
deadlines, request id, metrics, security fields; the handler answers a fixed text. 64 keep-alive connections of blocking clients on
another thread, unless said otherwise; CPU is the serving thread's, user and kernel. Allocations are calls of operator new for a
request.""")
    row = lambda name: data[f"session_on/{name}/real_time"]
    page.table(["", "server CPU of a request", "allocations"],
               [[title, page.spread(row(name)["server_ns"], "ns"), f"{page.median(row(name)['allocations']):.2f}"]
                for name, title in PATHS.items()])
    page.text("A connection of its own for one request (accepted, served, closed): "
              f"{page.spread(data['connection_with/one_request/real_time']['server_ns'], 'ns')}. The parts alone:")
    page.table(["", "CPU"], [[title, page.spread(data[name]["cpu_ns"], "ns")] for name, title in PARTS.items()])
    page.target("allocations of a plain request", row("plain_io_uring")["allocations"], at_most=0.05)
