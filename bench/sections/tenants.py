"""Ten thousand tenants beside ten: what a request, a registration, a start and the commands cost."""
import subprocess, tempfile, time

from many import make
from many.cluster import CHEAP, client, cluster, memory_of
from suite.processes import cpu_of
from suite.wrk import wrk

TITLE = "Ten thousand tenants"
ORDER = 70
PROGRAMS = []
FEW = 10
NO_PROJECT = "/api/v1/projects/not-an-id"  # authenticated, then answered 404 without the database
MIB = 1024
# All of a tenant's statements that a reading client needs, sent to each tenant at random.
RANDOM = """
local all = {}
init = function()
   for line in io.lines("%s") do
      local path, token = line:match("(%%S+) (%%S+)")
      all[#all + 1] = wrk.format("GET", %s or path, {Authorization = "Bearer " .. token})
   end
   math.randomseed(os.time())
end
request = function() return all[math.random(#all)] end
"""
ADD = "alter table {t}.projects add column bench integer not null default 0;\n"
# Takes back what ADD did, 50 tenants a transaction, as it was done.
TAKE_BACK = """do $$ declare one record; n integer := 0; begin
for one in select 't_' || replace(id::text, '-', '') as name from control.tenant where schema_version = 2 loop
    execute format('alter table %I.projects drop column bench', one.name);
    n := n + 1; if n % 50 = 0 then commit; end if;
end loop; end $$;
update control.tenant set schema_version = 1 where schema_version = 2;
delete from control.tenant_migration where number = 2;
"""


class side:
    """One cluster with so many tenants, a token and a project of each that is asked."""

    def __init__(self, bench, count):
        self.bench, self.count = bench, count
        self.cluster = cluster(bench.program("insula"), f"{bench.build}/tenants/{count}", **CHEAP)
        self.data = {key: [] for key in ("read", "first", "warm", "tokens", "ready_ms", "serve_ms", "serve_memory", "migrate_s",
                                         "check_s", "doctor_s")}
        self.cluster.start()

    def stop(self):
        self.cluster.stop()

    def fill(self):
        seconds, made = make.fill(self.cluster, self.count, "api", self.bench.progress)
        if made > 100:
            self.data["filled"] = {"count": made, "seconds": seconds}
        numbers = range(self.count)
        tokens = make.tokens(self.cluster.dev.port, numbers, self.bench.progress)
        projects = make.projects(self.cluster.dev.port, tokens, self.bench.progress)
        self.list = tempfile.NamedTemporaryFile("w", suffix=".txt")
        for project, token in zip(projects, tokens):
            self.list.write(f"/api/v1/projects/{project} {token}\n")
        self.list.flush()
        self.touch(list(zip(projects, tokens)))
        self.next = make.next_number(self.cluster)

    def touch(self, those):
        def look(http, number):
            http.call("GET", "/api/v1/projects/" + those[number][0], token=those[number][1])

        make.at_once(self.cluster.dev.port, range(len(those)), look,
                     make.progress("read once", len(those), self.bench.progress))

    def read(self, key, seconds=3, path=""):
        """Of tenants drawn at random, a project; or `path`, which asks no database."""
        dev = self.cluster.dev
        self.data[key].append(wrk(
            self.bench, f"http://127.0.0.1:{dev.port}/", None, 64, 1 if self.bench.quick else seconds,
            does="random tenants" + (", " + path if path else ""), refused=bool(path),
            lua=RANDOM % (self.list.name, f'"{path}"' if path else "nil"),
            cpu={"server_cpu_us": lambda: cpu_of(dev.pid), "postgres_cpu_us": self.cluster.postgres_cpu}))

    def warm(self):
        """Until each tenant was read some twenty times: five times or more on the connection of either thread."""
        wanted = 20 * self.count
        while wanted > 0:
            self.read("warm", 5)
            wanted = 0 if self.bench.quick else wanted - self.data["warm"][-1]["requests"]

    def register(self, count):
        """One after the other: nobody waits behind somebody else."""
        http = client(self.cluster.dev.port)
        took = sorted(make.register(http, self.next + i) * 1e3 for i in range(count))
        self.next += count
        self.data["ready_ms"].append(took)

    def start_and_commands(self):
        started = self.cluster.serve()
        self.data["serve_ms"].append(started.took * 1e3)
        self.data["serve_memory"].append(memory_of(started.pid))
        started.stop()
        for key, command in (("migrate_s", ["migrate"]), ("check_s", ["migrate", "--check"]), ("doctor_s", ["doctor"])):
            self.data[key].append(self.cluster.command(*command)[0])

    def memory(self):
        backends = {pid: memory_of(pid) for pid in self.cluster.backends()}
        users = self.cluster.backends()
        self.data["backends"] = [{"user": users.get(pid, "?"), **found} for pid, found in backends.items()]
        self.data["dev_memory"] = memory_of(self.cluster.dev.pid)

    def at_the_end(self):
        """What adds tenants, or takes long: once."""
        many = 20 if self.bench.quick else 200
        seconds, _ = make.by_api(self.cluster, list(range(self.next, self.next + many)), self.bench.progress)
        self.data["registered_per_s"] = many / seconds
        self.next += many
        seconds = make.in_bulk(self.cluster, list(range(self.next, self.next + many)), self.bench.progress)
        self.data["bulk_ms"] = seconds * 1e3 / many
        self.data["disk_bytes"], self.data["files"] = make.folder_size(self.cluster.data + "/postgres/cluster")
        self.data["tenants"] = self.cluster.tenants()
        self.bench.progress(f"migration over {self.data['tenants']:,} tenants, and back")
        self.migrate_all()
        self.bench.progress("verify-isolation, pg_dump, insula dev again")
        self.data["verify_s"] = self.cluster.command("verify-isolation")[0]
        self.dump()
        self.data["dev_ms"] = []
        for _ in range(1 if self.bench.quick else 3):
            self.cluster.stop()
            self.data["dev_ms"].append(self.cluster.start() * 1e3)

    def migrate_all(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{self.bench.root}/src/migrations/tenant/0001_projects.sql") as first:
                text = first.read()
            for name, sql in (("0001_projects.sql", text), ("0002_bench.sql", ADD)):
                with open(f"{folder}/{name}", "w") as out:
                    out.write(sql)
            self.data["migrate_all_s"], _ = self.cluster.command("migrate", INSULA_TENANT_MIGRATIONS=folder)
        self.data["migrated"] = int(self.cluster.sql("select count(*) from control.tenant where schema_version = 2"))
        self.cluster.sql(TAKE_BACK)

    def dump(self):
        limit = 90
        begun = time.monotonic()
        try:
            done = subprocess.run(["pg_dump", "--schema-only", "-f", "/dev/null", *self.cluster.connect_options()],
                                  capture_output=True, text=True, timeout=limit)
            self.data["dump"] = {"s": time.monotonic() - begun, "error": done.stderr.strip()[:300]}
        except subprocess.TimeoutExpired:
            self.data["dump"] = {"s": limit, "error": f"ended after {limit} s"}


def measure(bench):
    sides = []
    try:
        for count in (FEW, 100 if bench.quick else 10000):
            bench.progress(f"{count:,} tenants")
            sides.append(side(bench, count))
            sides[-1].fill()
        bench.command("bench/tenants --count 10000")
        # PostgreSQL plans each of the first five runs of a prepared statement for the values at hand; and whoever makes
        # tables has plans made again. So the first reads are shown apart, and no tenant is made meanwhile.
        for one in sides:
            bench.progress(f"first reads of {one.count:,} tenants, then until each was read some twenty times")
            one.read("first")
            one.warm()
        orders = [sides if turn % 2 == 0 else sides[::-1] for turn in range(bench.rounds)]
        for turn, order in enumerate(orders):
            bench.progress(f"reads, round {turn + 1} of {bench.rounds}")
            for one in order:
                one.read("read")
                one.read("tokens", 2, NO_PROJECT)
        for turn, order in enumerate(orders):
            bench.progress(f"registrations, starts and commands, round {turn + 1} of {bench.rounds}")
            for one in order:
                one.register(2 if bench.quick else 10)
                one.start_and_commands()
        for one in sides:
            one.memory()
        for one in sides:
            one.at_the_end()
        return {str(one.count): one.data for one in sides}
    finally:
        for one in sides:
            one.stop()


def mib(rows, kind):
    return [row[kind] / MIB for row in rows]


def report(data, page):
    few, many = data.values()
    count = max(map(int, data))
    heads = ["what", f"{FEW} tenants", f"{count:,} tenants"]

    def row(what, value):
        return [what, value(few), value(many)]

    def reads(key, what="read"):
        return lambda d: [r[key] for r in d[what]]

    def medians(d):
        return [page.median(took) for took in d["ready_ms"]]

    page.text(f"Two data directories of `insula dev`, measured in turn: one with {FEW} tenants, one with {count:,}, "
              "all made through the API (Argon2 at its least, here only: tenants are measured, not passwords). "
              "16 cells, both server threads, 64 connections; each request is of a tenant drawn at random, with that "
              "tenant's own token, and reads a project.")
    page.table(heads, [
        row("requests per second", lambda d: page.spread(reads("rps")(d), "/s")),
        row("p50", lambda d: page.spread(reads("p50_us")(d), "µs")),
        row("p99", lambda d: page.spread(reads("p99_us")(d), "µs")),
        row("CPU of the service per request", lambda d: page.spread(reads("server_cpu_us")(d), "µs")),
        row("of that the token and all else but the tenant (`GET /projects/not-an-id` with the same tokens)",
            lambda d: page.spread(reads("server_cpu_us", "tokens")(d), "µs")),
        row("CPU of PostgreSQL per request", lambda d: page.spread(reads("postgres_cpu_us")(d), "µs")),
        row("the same in the first seconds, before plans are kept", lambda d: page.spread(d["first"][0]["postgres_cpu_us"],
                                                                                       "µs")),
        row("from the 202 to ready, one at a time, median of each round", lambda d: page.spread(medians(d), "ms")),
        row("registrations, 16 at once, until ready", lambda d: page.spread(d["registered_per_s"], "/s")),
        row("role, schema and table of one tenant (`provision.create_tenant()`, 50 a transaction)",
            lambda d: page.spread(d["bulk_ms"], "ms")),
    ])
    page.text("Starting and operating (`serve`: from exec until `/readyz` answers 200, a second service on a database "
              "that runs; `dev`: with its PostgreSQL, on the existing directory):")
    page.table(heads, [
        row("`insula serve` to ready", lambda d: page.spread(d["serve_ms"], "ms")),
        row("`insula dev` to ready", lambda d: page.spread(d["dev_ms"], "ms")),
        row("memory of `serve`, just ready: resident", lambda d: page.spread(mib(d["serve_memory"], "rss"), "MiB")),
        row("of that private", lambda d: page.spread(mib(d["serve_memory"], "private"), "MiB")),
        row("memory of the loaded service, every tenant met: resident",
            lambda d: page.spread(d["dev_memory"]["rss"] / MIB, "MiB")),
        row("private memory of a backend, every tenant met: median (lowest–highest)",
            lambda d: page.spread(mib(d["backends"], "private"), "MiB")),
        row("`insula migrate`, nothing to do", lambda d: page.spread(d["migrate_s"], "s")),
        row("`insula migrate --check`", lambda d: page.spread(d["check_s"], "s")),
        row("`insula migrate`, one file that adds a column", lambda d:
            f"{page.spread(d['migrate_all_s'], 's')} for {d['migrated']:,} tenants"),
        row("`insula doctor`", lambda d: page.spread(d["doctor_s"], "s")),
        row("`insula verify-isolation`", lambda d: page.spread(d["verify_s"], "s")),
        row("`pg_dump --schema-only`", lambda d: d["dump"]["error"] or page.spread(d["dump"]["s"], "s")),
        row("disk", lambda d: f"{d['disk_bytes'] / 2**20:,.0f} MiB in {d['files']:,} files"),
    ])
    if "filled" in many:
        made = many["filled"]
        page.text(f"Making the {made['count']:,} through the API took {made['seconds']:.0f} s "
                  f"({made['count'] / made['seconds']:.0f} a second, 16 at once).")
    page.target(f"private memory of the largest backend, {count:,} tenants", max(mib(many["backends"], "private")),
                at_most=64, unit="MiB")
    page.target(f"idle service memory, resident, {count:,} tenants", mib(many["serve_memory"], "rss"), at_most=50,
                unit="MiB")
    page.target(f"`insula serve` to ready, {count:,} tenants", many["serve_ms"], at_most=300, unit="ms")
    page.target(f"from the 202 to ready, p50, with {count:,} tenants there", medians(many), at_most=25, unit="ms")
    page.target(f"tenant read over HTTP, {count:,} tenants ÷ {FEW}: CPU of PostgreSQL",
                page.ratios(reads("postgres_cpu_us")(many), reads("postgres_cpu_us")(few)), at_most=1.35)
