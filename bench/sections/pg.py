"""The database client alone: bench/pg_bench."""
TITLE = "The database client"
ORDER = 45
PROGRAMS = ["pg_bench"]

KINDS = [("pipelined", "**one shared connection, pipelined** (as the service does)"),
         ("one_at_a_time", "the same connection, one unit at a time"),
         ("one_at_a_time_4_connections", "4 connections, one unit at a time on each"),
         ("one_at_a_time_16_connections", "16 connections, one unit at a time on each"),
         ("lease_of_16", "a pool of 16, borrowed for each unit"),
         ("not_prepared", "pipelined, parsed and planned each time"),
         ("raw_libpq", "libpq alone: the read without settings, one connection")]


def measure(bench):
    environment = {"INSULA_BENCH_TENANTS": "0"}
    return {"units": bench.google("pg_bench", "/(1|16|64)/real_time", 5, 0.15, environment=environment),
            "rows": bench.google("pg_bench", "^(decode|fetch_rows)", 5, 0.1, environment=environment)}


def each(r):
    return [1e9 / v for v in r["items_per_second"]]


def report(data, page):
    units = data["units"]
    page.text("""
One read by key outside of all tenants, with the two timeouts in front as every unit has them, through the pool of the service;
so many at once, each by a coroutine that waits for its answer. All on one loop; PostgreSQL on the same machine.
""")
    page.table(["way", "at once", "time per unit", "client CPU", "PostgreSQL CPU", "allocations"], [
        [label, depth, page.spread(each(r), "ns"), page.spread(r["client_us"], "µs"), page.spread(r["backend_us"], "µs"),
         page.spread(r["allocations"])]
        for kind, label in KINDS for depth in (1, 16, 64) if (r := units.get(f"{kind}/{depth}/real_time"))])
    page.plot("concurrent", "Units a second", "at once", "thousand a second", {
        kind: [(d, [v / 1e3 for v in r["items_per_second"]]) for d in (1, 16, 64) if (r := units.get(f"{kind}/{d}/real_time"))]
        for kind, _ in KINDS[:5]}, logx=True)
    for depth, bound in ((64, 3), (1, 1)):
        ours, other = units.get(f"pipelined/{depth}/real_time"), units.get(f"one_at_a_time/{depth}/real_time")
        if ours and other:
            page.target(f"pipelined ÷ one at a time, {depth} at once: throughput", page.ratios(each(other), each(ours)), at_least=bound)
    page.text("Reading results of six columns (two timestamps, an id, a text, a null, a number): `decode` reads every column of a result "
              "that is there, `fetch_rows` is the whole round trip without it.")
    page.table(["what", "rows", "time", "per row", "allocations"], [
        [name.split("/")[0], name.split("/")[1], page.spread(r["real_ns"] if name.startswith("decode") else
         [v * int(name.split("/")[1]) for v in each(r)], "ns"), page.spread(each(r), "ns"), page.spread(r.get("allocations", []))]
        for name, r in data["rows"].items()])
