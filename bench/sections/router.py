"""Finding a request's route in the service's own table."""
TITLE = "Router"
ORDER = 75
PROGRAMS = ["router_bench"]


def measure(bench):
    return {"rows": bench.google("router_bench", repetitions=5, min_time=0.03)}


def report(data, page):
    rows = data["rows"]
    kinds = sorted({name.split("/")[0] for name in rows}, key=lambda kind: page.median(rows[f"{kind}/ours"]["cpu_ns"]))
    page.text("""
The service's own table, a trie made by the compiler. *Scan* compares the path with every pattern, segment by segment,
and gives the same answer, allowed methods included; it allocates nothing either. One look-up of a whole path in a
`std::unordered_map`, which knows neither parameters nor other methods, is the floor of what a table made at start could
do.
""")
    page.table(["path", "ours", "scan", "scan ÷ ours", "allocations"],
               [[kind.replace("_", " "), page.spread(rows[f"{kind}/ours"]["cpu_ns"], "ns"),
                 page.spread(rows[f"{kind}/scan"]["cpu_ns"], "ns"),
                 page.spread(page.ratios(rows[f"{kind}/scan"]["cpu_ns"], rows[f"{kind}/ours"]["cpu_ns"])),
                 page.number(page.median(rows[f"{kind}/ours"]["allocations"]), 0)] for kind in kinds])
    floor = rows["literal_deep/hash_of_path"]["cpu_ns"]
    page.text(f"One look-up of a whole path without parameters by hash: {page.spread(floor, 'ns')}.")
    slowest = f"{kinds[-1]}/ours"
    page.plot("match", "Finding a route", "", "ns, CPU",
              {label: [(kind.replace("_", " "), rows[f"{kind}/{label}"]["cpu_ns"]) for kind in kinds]
               for label in ("ours", "scan")}, bars=True)
    page.text(f"The slowest match, {slowest.split('/')[0].replace('_', ' ')}, is "
              f"{page.spread(rows[slowest]['cpu_ns'], 'ns')}: less than a hundredth of the cheapest request.")
