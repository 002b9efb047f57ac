"""JSON in and out, and the small texts every answer has, beside Boost.JSON, RapidJSON and nlohmann/json."""
TITLE = "JSON"
ORDER = 70
PROGRAMS = ["json_bench"]

BODIES = {"login": "log-in form", "registration": "registration form", "project": "project with a long description",
          "256_members": "256 members, the most allowed", "1000_items": "1,000 small objects"}
PEERS = {"ours": "ours", "boost": "Boost.JSON", "rapidjson_reader": "RapidJSON, builds nothing", "nlohmann": "nlohmann"}
PIECES = {"make_uuid": "make a UUIDv7", "write_uuid": "write a UUID", "parse_uuid": "read a UUID",
          "write_time": "write a time", "parse_time": "read a time", "encode_base64url/32": "base64url of 32 bytes",
          "encode_base64url/300": "base64url of 300 bytes", "decode_base64url/300": "300 bytes back from base64url",
          "write_string/20": "write a string of 20", "write_string/1000": "write a string of 1,000"}


def measure(bench):
    rows = bench.google("json_bench", repetitions=5, min_time=0.03)
    for peer in ("rapidjson_reader", "nlohmann"):
        if f"parse/login/{peer}" not in rows:
            bench.without(PEERS[peer], "its headers are not installed (scripts/packages bench)")
    return {"rows": rows}


def cells(page, rows, names):
    return [page.spread(rows[name]["cpu_ns"], "ns") if name in rows else "—" for name in names]


def allocations(page, row):
    return page.number(page.median(row["allocations"]), 0)


def report(data, page):
    rows = data["rows"]
    page.text("""
Text to tree. Ours is Boost's parser under a handler that also refuses doubled members, bounds depth and members and
numbers; Boost alone takes the last of two members with one name. Both keep the tree in one block of memory. RapidJSON's
reader only checks syntax and UTF-8 and builds nothing: a floor. nlohmann's tree is of maps.
""")
    page.table(["text to tree", "bytes"] + list(PEERS.values()) + ["our allocations"],
               [[label, page.number(page.median(rows[f"parse/{body}/ours"]["bytes"]))] +
                cells(page, rows, [f"parse/{body}/{peer}" for peer in PEERS]) +
                [allocations(page, rows[f"parse/{body}/ours"])] for body, label in BODIES.items()])
    page.text("""
Text to struct. *Strings only* is like for like but for our refusing unknown and doubled members and our naming every
wrong field; *the handler's form* has passed every rule of every member (Unicode forms of names, IDNA of the mail
address, what is reserved), which no peer does.
""")
    plain = ["plain/registration/" + peer for peer in ("ours", "boost", "nlohmann")]
    page.table(["text to struct", "ours", "Boost.JSON", "nlohmann"],
               [["registration, strings only"] + cells(page, rows, plain)] +
               [[BODIES[body] + ", the handler's form"] + cells(page, rows, [f"form/{body}/ours"]) + ["", ""]
                for body in ("login", "registration", "project")])
    page.text("""
A page of projects to text. Ours and RapidJSON's writer stream; the others build a tree first. Ids and times are made by
our functions for all of them; RapidJSON's writer does not check UTF-8, ours replaces what is not and escapes U+2028.
""")
    page.table(["rows to text", "ours", "RapidJSON's writer", "Boost.JSON", "nlohmann", "our allocations"],
               [[f"{n} project{'s' if n > 1 else ''}"] +
                cells(page, rows, [f"write/{peer}/{n}" for peer in ("ours", "rapidjson", "boost", "nlohmann")]) +
                [allocations(page, rows[f"write/ours/{n}"])] for n in (1, 50)])
    page.table(["piece", "figure"], [[label, page.spread(rows["piece/" + name]["cpu_ns"], "ns")]
                                     for name, label in PIECES.items()])
    slower = page.median(page.ratios(rows["parse/256_members/ours"]["cpu_ns"],
                                     rows["parse/256_members/boost"]["cpu_ns"]))
    if slower > 1:
        page.lost(f"Parsing costs up to {slower:.2f} times Boost.JSON alone (an object of 256 members): the walk that "
                  "finds doubled members.")
    if "parse/1000_items/rapidjson_reader" in rows:
        floor = page.median(page.ratios(rows["parse/1000_items/ours"]["cpu_ns"],
                                        rows["parse/1000_items/rapidjson_reader"]["cpu_ns"]))
        page.lost(f"A body of 1,000 small objects costs {floor:.1f} times reading it without building a tree.")
