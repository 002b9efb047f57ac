"""What keeping tenants apart costs: bench/tenant_bench, beside other ways of doing it, and pgbench."""
import os, re, subprocess, tempfile

TITLE = "A tenant's unit of work"
ORDER = 50
PROGRAMS = ["tenant_bench"]

WAYS = [("no_tenancy", "our pool, no tenant (same timeouts)"), ("scope", "**our tenant scope**, 16 cells"),
        ("scope_one_cell", "our tenant scope, one cell"), ("raw_bare", "libpq, pipelined: the read and nothing else"),
        ("raw_row_security", "libpq, pipelined: set_config and row-level security on one table"),
        ("raw_search_path", "libpq, pipelined: role, search_path of the session, unqualified statement"),
        ("raw_begin_set_local_role", "libpq: BEGIN, SET LOCAL ROLE, read, COMMIT, a trip each; a connection per client"),
        ("raw_begin_set_local_search_path", "libpq: the same with search_path, not prepared; a connection per client")]


def measure(bench):
    most = 1000 if bench.quick else 10000
    folder = tempfile.mkdtemp(prefix="insula-bench-") if bench.quick else bench.build + "/tenant_bench_data"
    environment = {"INSULA_BENCH_DATA": folder, "INSULA_BENCH_TENANTS": str(most)}
    bench.progress(f"makes {most:,} tenants the first time, kept in {folder}")
    depths = "1|16" if bench.quick else "1|4|16|64"
    # Those that are compared with each other run in one go, in random order.
    rows = bench.google("tenant_bench", f"^(no_tenancy|scope|scope_one_cell|raw_[a-z_]*)/({depths})/(1|10|1000)/", 5, 0.05,
                        environment=environment)
    many = bench.google("tenant_bench", "^(no_tenancy|scope|scope_.*|raw_row_security)/16/(10|16|1000|10000)/", 7, 0.1,
                        environment=environment)
    return {"rows": rows, "many": many, "memory": memory(bench, environment), "pgbench": pgbench(bench, environment)}


def memory(bench, environment):
    """After every tenant has been read: private pages of each backend of the cells."""
    most = environment["INSULA_BENCH_TENANTS"]
    command = [bench.program("tenant_bench"), f"--benchmark_filter=^scope/16/{most}/", "--benchmark_min_time=0.01"]
    bench.progress("memory of the backends")
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, **environment))
    for line in done.stderr.splitlines():
        found = re.match(r"memory insula 16cell% (\d+) ([\d.]+) ([\d.]+)", line)
        if found and int(found[1]):
            return {"tenants": int(most), "backends": int(found[1]), "largest_mb": float(found[2]), "sum_mb": float(found[3])}
    raise RuntimeError(done.stdout + done.stderr)


def pgbench(bench, environment):
    """tenant_bench runs pgbench on its own database: the same statements as the scope, one tenant."""
    command = [bench.program("tenant_bench"), "--pgbench", "3" if not bench.quick else "2", str(1 if bench.quick else 5)]
    bench.progress("pgbench, the same statements")
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, **environment))
    if done.returncode:
        bench.without("pgbench", "; ".join(done.stderr.strip().splitlines())[-600:])
        return {}
    found = {}
    for line in done.stdout.splitlines():
        clients, kind, tps, scope = line.split()
        found.setdefault(f"{kind}/{clients}", []).append([float(tps), float(scope)])
    return found


def row(rows, way, depth, tenants):
    return rows.get(f"{way}/{depth}/{tenants}/real_time")


def us(row, page, name):
    return page.spread(row[name], "µs")


def report(data, page):
    rows, many = data["rows"], data["many"]
    page.text("""
Reading one row by its key, prepared, through the service's own connection pool on the service's own roles: switch to the
tenant's role, lock and statement timeout, the read, Sync; one round trip. `depth` reads are in flight at once, each of a tenant
drawn at random. Time per read is of the whole (throughput), CPU of the client's thread and of PostgreSQL's backends.
The peers are libpq without anything of ours, driven by `poll()` in one thread: they do not keep deadlines, count, log or retry,
and those of one round trip share one connection, too. In those with a trip for each step every client has a connection of its own.
Every tenant was read eight times in turn before anything was measured, because PostgreSQL plans the first five of each anew.
The peers with a trip for each step log in as somebody who is a member of every tenant's role there is in this database, where one
of our cells is of its own tenants only: what that costs them was not measured, so take the ratios to them with care.
Nobody but ours and the row security peer sets timeouts. Row security and search_path keep no role between tenants and an attacker's SQL.
""")
    page.table(["way", "depth", "tenants", "time per read", "client CPU", "PostgreSQL CPU", "round trips"], [
        [label, depth, f"{tenants:,}", page.spread(each(r), "ns"),
         us(r, page, "client_us"), us(r, page, "backend_us"), page.spread(r["trips"])]
        for way, label in WAYS for depth in (1, 4, 16, 64) for tenants in (1, 10, 1000)
        if (r := row(rows, way, depth, tenants))])
    page.text("With many tenants, 16 reads at once, in a run of its own. `scope_each_cell` reads one tenant of each cell: as many "
              "connections as with 10,000 tenants, where 10 tenants are on about half of them. What is above it is PostgreSQL's "
              "for many roles, plans and tables on a backend (docs/decisions/0014):")
    page.table(["way", "tenants", "time per read", "client CPU", "PostgreSQL CPU"], [
        [name.split("/")[0], f"{int(name.split('/')[2]):,}", page.spread(each(r), "ns"), us(r, page, "client_us"),
         us(r, page, "backend_us")] for name, r in sorted(many.items(), key=lambda e: (e[0].split("/")[0], int(e[0].split("/")[2])))])
    page.plot("depth", "Time per read, one tenant", "reads in flight", "µs", {
        way: [(d, [v / 1e3 for v in each(r)]) for d in (1, 4, 16, 64) if (r := row(rows, way, d, 1))] for way, _ in WAYS}, logx=True)
    page.plot("tenants", "Time per read by tenants, 16 in flight", "tenants", "µs", {
        way: [(t, [v / 1e3 for v in each(r)]) for t in (10, 1000, 10000) if (r := row(many, way, 16, t))]
        for way in ("scope", "scope_one_cell", "scope_4_cells", "raw_row_security")}, logx=True)
    targets(data, page)
    held = data["memory"]
    page.text(f"Private memory of the {held['backends']} backends of the cells with {held['tenants']:,} tenants touched: "
              f"largest {held['largest_mb']:.1f} MB, together {held['sum_mb']:.0f} MB.")
    page.target(f"backend memory at {held['tenants']:,} tenants, largest", held["largest_mb"], at_most=64, unit="MB")
    if data["pgbench"]:
        page.text("pgbench with the same statements (BEGIN left out: settings and read in one pipeline), one tenant, one thread, beside "
                  "ours in turns; each client of pgbench has a connection:")
        page.table(["statements, clients", "pgbench, transactions a second", "our scope, reads a second", "ours ÷ pgbench"], [
            [name, page.spread([v[0] for v in values]), page.spread([v[1] for v in values]),
             page.spread([v[1] / v[0] for v in values])] for name, values in data["pgbench"].items()])


def each(r):
    """Nanoseconds per read of each repetition."""
    return [1e9 / v for v in r["items_per_second"]]


def targets(data, page):
    rows, many = data["rows"], data["many"]
    for depth in (1, 16, 64):
        ours, plain = row(rows, "scope", depth, 1), row(rows, "no_tenancy", depth, 1)
        if ours and plain:
            page.target(f"tenant-scoped read ÷ the same without tenancy, {depth} at once: time", page.ratios(each(ours), each(plain)), at_most=1.10)
            page.target(f"the same: PostgreSQL CPU", page.ratios(ours["backend_us"], plain["backend_us"]), at_most=1.10)
    ten = row(many, "scope", 16, 10)
    for tenants, bound in ((1000, 1.15), (10000, 1.35)):
        if ten and (r := row(many, "scope", 16, tenants)):
            page.target(f"random of {tenants:,} tenants ÷ of 10, 16 at once: time", page.ratios(each(r), each(ten)), at_most=bound)
            if spread := row(many, "scope_each_cell", 16, 16):
                page.text(f"Random of {tenants:,} tenants ÷ one of each cell: time {page.spread(page.ratios(each(r), each(spread)))}, PostgreSQL CPU "
                          f"{page.spread(page.ratios(r['backend_us'], spread['backend_us']))}.")
    for depth in (1, 16):
        peer, ours = row(rows, "raw_begin_set_local_role", depth, 1), row(rows, "scope", depth, 1)
        if peer and ours:
            page.target(f"our unit ÷ BEGIN, SET LOCAL ROLE, read, COMMIT, {depth} at once: throughput", page.ratios(each(peer), each(ours)), at_least=4)
    bare, ours = row(rows, "raw_bare", 16, 1), row(rows, "scope", 16, 1)
    if bare and ours:
        ratio = page.ratios(ours["backend_us"], bare["backend_us"])
        page.lost(f"A unit's role switch and timeouts are a statement of their own for PostgreSQL: {page.spread(ratio)} of the CPU of the "
                  "bare read without either, 16 at once.")
