"""The executor: io_uring and epoll beside Asio's own epoll, one coroutine for all."""
TITLE = "The executor"
ORDER = 40
PROGRAMS = ["runtime_bench"]
SHAPES = {"1/1": "1 connection", "64/1": "64 connections", "512/1": "512 connections",
          "64/16": "64 connections, 16 requests at once"}
SERVERS = {"http_on/io_uring": "ours, io_uring", "http_on/epoll": "ours, epoll", "http_on_asio": "Asio, epoll"}
TURNS = 5  # of a round


def measure(bench):
    found = bench.google("runtime_bench", repetitions=9, min_time=0.1)
    found["turns"] = [[one_turn(bench) for _ in range(1 if bench.quick else TURNS)] for _ in range(bench.rounds)]
    return found


def one_turn(bench):
    """The three that are compared, right after one another: repetitions of one run are shuffled over all of it, and what
    the machine did to two of the same number had nothing in common."""
    rows = bench.google("runtime_bench", "^http_on.*/64/1/", repetitions=1, min_time=0.1)
    return {name: sum(server(rows, f"{name}/64/1")) / len(server(rows, f"{name}/64/1")) for name in SERVERS}


def server(data, name):
    return data[f"{name}/real_time"]["server_ns"]


def report(data, page):
    page.text("""
One thread serves keep-alive HTTP over loopback TCP; blocking clients on another thread send all requests of a round, then read all
answers. The serving coroutine is the same template for all three: Beast's `async_read` of a request into a `flat_buffer`, its
keep-alive looked up, 158 octets written. Ours sets a deadline for every request besides; Asio's sockets have none, its
`io_context` is told that it has one thread, and no executor is type-erased on either side. CPU is the serving thread's, user and
kernel.""")
    page.table(["server CPU of a request"] + list(SHAPES.values()),
               [[title] + [page.spread(server(data, f"{name}/{shape}"), "ns") for shape in SHAPES]
                for name, title in SERVERS.items()])
    page.plot("requests", "Server CPU of a keep-alive request", "", "ns",
              {title: [(text, server(data, f"{name}/{shape}")) for shape, text in SHAPES.items()]
               for name, title in SERVERS.items()}, bars=True)
    octets = {"octets_on/io_uring/64/1": "io_uring, sends by the ring",
              "octets_on/io_uring_direct_send/64/1": "io_uring, sends by system calls (`direct_send`)",
              "octets_on/epoll/64/1": "epoll"}
    page.text("Without HTTP (what was read counts as a request), 64 connections; and a connection made, accepted and closed:")
    rows = [[title, page.spread(server(data, name), "ns")] for name, title in octets.items()]
    rows += [[f"accept and close, {kind}", page.spread(server(data, f"accept_on/{kind}"), "ns")]
             for kind in ("io_uring", "epoll")]
    page.table(["", "server CPU"], rows)
    page.text("Between threads and in time; a call to another loop and back is wall time and wakes both threads:")
    page.table(["", "each"], [
        ["call on another loop, io_uring", page.spread(data["call_another_loop/io_uring/real_time"]["real_ns"], "ns")],
        ["call on another loop, epoll", page.spread(data["call_another_loop/epoll/real_time"]["real_ns"], "ns")],
        ["post and resume, same loop", page.spread(data["post_and_resume"]["cpu_ns"], "ns")],
        ["timer set and expired, with a look at the kernel", page.spread(data["timer_expires/0"]["cpu_ns"], "ns")],
        ["the same beside 10,000 that wait", page.spread(data["timer_expires/10000"]["cpu_ns"], "ns")]])
    page.text(f"""What is compared below was measured once more, in turns of all three right after one another; a round's ratio is
the median of its {len(data["turns"][0])} turns' own.""")

    def ratios(name):
        return [page.median([turn[name] / turn["http_on/io_uring"] for turn in one]) for one in data["turns"]]

    page.target("io_uring ÷ epoll, requests per CPU second, 64 connections", ratios("http_on/epoll"), at_least=1.15)
    page.target("io_uring ÷ Asio's epoll with Beast, the same, 64 connections", ratios("http_on_asio"), at_least=1.3)
