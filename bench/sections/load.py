"""The whole service over HTTP, and others beside it."""
import functools, http.client, json, os, shutil, tempfile

from suite import peers
from suite.bench import cannot
from suite.service import PASSWORD, call, service
from suite.wrk import posting, wrk

TITLE = "The service over HTTP"
ORDER = 80
PROGRAMS = []
PEOPLE = 60  # who log in: other people than who reads, whose hundred sessions they would end
POOLS = (4, 16, 32)
RANDOM = {"date", "x-request-id"}
NOBODY = "01900000-0000-7000-8000-000000000000"


class scene:
    """The service with one thread and with two, and everybody else, on one PostgreSQL."""

    def __init__(self, bench, folder):
        self.bench, self.folder = bench, folder
        self.seconds = 1 if bench.quick else 2
        self.ready, self.registered, self.open = [], 0, []
        self.pools, self.peers, self.nginx = {}, {}, None
        self.people = 3 if bench.quick else PEOPLE

    def begin(self):
        bench, folder = self.bench, self.folder
        self.one = self.keep(service(bench, folder, INSULA_THREADS=1))
        self.two = self.keep(self.one.beside(bench, INSULA_THREADS=2))
        self.register("reader", 1, warm=True)
        self.log_in()
        self.schema = "t_" + self.tenant.replace("-", "")
        self.project = call(self.one.url + "/api/v1/projects", {"name": "Measured", "description": "a row"},
                            self.token)["id"]
        peers.make_login(self.one, self.schema)

    def keep(self, started):
        self.open.insert(0, started)
        return started

    def stop(self):
        for started in self.open:
            started.stop()

    def log_in(self):
        """A token of this round: it lives for 15 minutes, and nobody's cache has met it."""
        tokens = self.one.log_in("reader0")
        self.token, self.tenant = tokens["access_token"], tokens["tenant"]["id"]

    def register(self, name, count, warm=False):
        for _ in range(count):
            took = self.one.register(f"{name}{self.registered if name != 'reader' else 0}")
            self.registered += 1
            if not warm:
                self.ready.append(took)

    def path(self, server):
        return f"{server.url}/api/v1/projects/{self.project}"

    def read(self, server, connections=64):
        return self.measured(server, self.path(server), self.token, connections)

    def measured(self, server, url, token=None, connections=64, trips=False, seconds=None, **more):
        before = server.metric("insula_pg_round_trips_total") if trips else 0
        found = wrk(self.bench, url, token, connections, seconds or self.seconds,
                    cpu={"server_cpu_us": server.cpu, "postgres_cpu_us": self.one.postgres_cpu}, **more)
        if trips:
            found["round_trips"] = (server.metric("insula_pg_round_trips_total") - before) / found["requests"]
        return found

    def find_peers(self):
        """Those that are there, with what starts each: the best size of pool is measured once, and answers compared."""
        remembering = functools.partial(peers.go, verdicts=True)
        for name, build, start in (("Go", peers.build_go, peers.go), ("Go (verdicts kept)", peers.build_go, remembering),
                                   ("Node", peers.build_node, peers.node)):
            try:
                built = build(self.bench)
            except cannot as reason:
                self.bench.without(f"the {name} peer", str(reason))
                continue
            for threads in (1, 2):
                begin = functools.partial(start, built, self.one, self.folder, threads)
                rates = {pool: self.beside(begin, pool, seconds=1, compare=True)["rps"]
                         for pool in (POOLS[:1] if self.bench.quick else POOLS)}
                best = max(rates, key=rates.get)
                self.bench.progress(f"{name}, {threads} thread(s): best with {best} connections: "
                                    + ", ".join(f"{pool}: {rate:,.0f}/s" for pool, rate in rates.items()))
                self.pools[f"{name} {threads}"] = {"best": best, "rps": rates}
                self.peers.setdefault(name, []).append(begin)
        try:
            self.nginx = self.keep(peers.nginx(self.folder))
        except cannot as reason:
            self.bench.without("nginx", str(reason))

    def beside(self, begin, pool, seconds=None, compare=False):
        """A peer's read. It runs for its turn only: all their pools together are more than PostgreSQL takes."""
        server = begin(pool)
        try:
            if compare:
                self.compare_answers(server)
            wrk(self.bench, self.path(server), self.token, 64, 1)
            return self.measured(server, self.path(server), self.token, seconds=seconds)
        finally:
            server.stop()

    def compare_answers(self, server):
        """Nobody is measured who answers something else."""
        wrong = self.token[:-8] + ("AAAAAAAA" if not self.token.endswith("AAAAAAAA") else "BBBBBBBB")
        asked = ((self.project, self.token, {}), (NOBODY, self.token, {}), ("not-an-id", self.token, {}),
                 (self.project, wrong, {}), (self.project, None, {}), (self.project, self.token, {"If-None-Match": '"v1"'}))
        for what in asked:
            wanted, found = answer_of(self.one, *what), answer_of(server, *what)
            if found[0] != wanted[0] or (found != wanted and what[1] is not None):
                raise RuntimeError(f"a peer answers something else:\n{found}\n{wanted}")


def answer_of(server, project, token, headers):
    """Status, headers and body; what is random in them left out, names of headers without case."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    fields = {"Authorization": "Bearer " + token} if token else {}
    connection.request("GET", "/api/v1/projects/" + project, headers={**fields, **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    names = {k.lower(): v for k, v in answer.getheaders()}
    connection.close()
    names = {k: (None if k in RANDOM else v.removesuffix("; charset=utf-8")) for k, v in names.items()
             if k not in ("connection", "keep-alive", "content-length")}
    if names.get("content-type", "").startswith("application/problem+json"):
        body = {**json.loads(text), "request_id": None}
    else:
        body = text
    return answer.status, names, body


def one_round(s, found, first):
    """Everything once, in an order that changes from round to round."""
    work = []

    def add(name, function):
        work.append((name, function))

    for i in (0, 1):
        server = (s.one, s.two)[i]
        add(f"read Insula {i + 1}", lambda server=server: s.measured(server, s.path(server), s.token, trips=True))
        for name, begins in s.peers.items():
            add(f"read {name} {i + 1}", lambda begin=begins[i], pool=s.pools[f"{name} {i + 1}"]["best"]: s.beside(begin, pool))
    add("read Insula 1, 16 connections", lambda: s.read(s.one, 16))
    for clients in (16, 64):
        add(f"pgbench {clients}", lambda clients=clients:
            peers.pgbench(s.bench, s.one, s.schema, s.project, clients, s.seconds))
    for threads, server in ((1, s.one), (2, s.two)):
        add(f"health {threads}", lambda server=server: s.measured(server, server.url + "/livez"))
        add(f"token {threads}", lambda server=server: s.measured(
            server, server.url + "/api/v1/projects/not-an-id", s.token, trips=True, refused=True))
        add(f"me {threads}", lambda server=server: s.measured(
            server, server.url + "/api/v1/users/me", s.token, trips=True))
        add(f"write {threads}", lambda server=server: s.measured(
            server, server.url + "/api/v1/projects", s.token, trips=True, seconds=s.seconds + 1,
            lua=posting('{"name": "{n}", "description": "a row"}')))
    if s.nginx:
        add("nginx", lambda: s.measured(s.nginx, s.nginx.url + "/livez"))
    login = json.dumps({"email": "person{n%" + str(s.people) + "}@example.org", "password": PASSWORD})
    add("login", lambda: s.measured(s.one, s.one.url + "/api/v1/auth/login", connections=8, trips=True,
                                    seconds=s.seconds + 1, lua=posting(login)))
    turn = first % len(work)
    for name, function in work[turn:] + work[:turn]:
        found.setdefault(name, []).append(function())


def measure(bench):
    folder = tempfile.mkdtemp(prefix="insula-load-")
    os.chmod(folder, 0o755)
    s = scene(bench, folder)
    try:
        s.begin()
        bench.progress(f"{s.people} people register")
        for i in range(s.people):
            s.one.register(f"person{i}")
        s.find_peers()
        s.read(s.one), s.read(s.two)  # prepared statements, caches
        found = {}
        for r in range(bench.rounds):
            bench.progress(f"round {r + 1} of {bench.rounds}")
            s.log_in()
            s.register("new", 3 if bench.quick else 20)
            one_round(s, found, 5 * r)
            s.one.sql(f"delete from {s.schema}.projects where id <> '{s.project}'")
        return {"found": found, "ready_ms": s.ready, "pools": s.pools, "peers": list(s.peers)}
    finally:
        s.stop()
        shutil.rmtree(folder, ignore_errors=True)


def column(data, name, key):
    return [one[key] for one in data["found"][name]]


def row(page, data, title, name):
    def cell(key, unit=""):
        return page.spread(column(data, name, key), unit) if key in data["found"][name][0] else "—"
    sizes = "—"
    if "bytes_out" in data["found"][name][0]:
        size = lambda key: page.number(page.median(column(data, name, key))) if key in data["found"][name][0] else "—"
        sizes = f"{size('bytes_in')} / {size('bytes_out')}"
    return [title, cell("rps"), cell("p50_us", "µs"), cell("p99_us", "µs"), cell("server_cpu_us", "µs"),
            cell("postgres_cpu_us", "µs"), cell("round_trips"), sizes]


HEADS = ["", "requests/s", "p50", "p99", "server CPU a request", "PostgreSQL CPU", "round trips", "bytes in / out"]


def report(data, page):
    page.text(f"""
wrk with one thread and 64 connections (log-ins: 8), keep-alive, on the same machine as server and PostgreSQL; CPU is user and
system time of the processes, from /proc. Rate limits are off; everything else is as in production. "Token only" is
`GET /projects/not-an-id`: authenticated, then answered 404 without the database. "Read" is `GET /projects/{{id}}`, "write"
`POST /projects` with its audit row and a durable commit, "me" `GET /users/me` from the control plane. Log-ins are what Argon2id
(19 MiB, two passes) leaves of two cores.""")
    threads = lambda n: "1 thread" if n == 1 else f"{n} threads"
    rows = []
    for title, name in (("health", "health"), ("token only", "token"), ("read", "read Insula"), ("me", "me"),
                        ("write", "write")):
        rows += [row(page, data, f"{title}, {threads(n)}", f"{name} {n}") for n in (1, 2)]
    rows.append(row(page, data, "read, 1 thread, 16 connections", "read Insula 1, 16 connections"))
    rows.append(row(page, data, "log-in, 1 thread", "login"))
    page.table(HEADS, rows)
    ready = sorted(data["ready_ms"])
    page.text(f"From the 202 of a registration to a tenant that is ready, as a client that waits sees it, {len(ready)} one after "
              f"the other: p50 {page.spread([page.median(ready)], 'ms')}, p99 {ready[len(ready) * 99 // 100]:.1f} ms.")
    headlines(data, page, ready)
    report_peers(data, page)
    page.target("from the 202 to ready, p50, ms", [page.median(ready)], at_most=25)


def headlines(data, page, ready):
    cell = lambda name, key, unit: page.spread(column(data, name, key), unit)
    for what, name in (("`GET /livez`", "health 1"), ("`GET /projects/{id}`", "read Insula 1"),
                       ("`POST /projects`", "write 1")):
        page.headline(f"{what}, 64 connections, one server thread",
                      f"{cell(name, 'rps', '/s')}, {cell(name, 'server_cpu_us', 'µs')} server CPU, "
                      f"{cell(name, 'postgres_cpu_us', 'µs')} PostgreSQL CPU")
    others = {"pgbench, 64 clients": "pgbench 64", "a Go service": "read Go 1",
              "a Go service that keeps verdicts": "read Go (verdicts kept) 1", "a Node service": "read Node 1"}
    for who, name in others.items():
        if name in data["found"]:
            ratio = page.ratios(column(data, "read Insula 1", "rps"), column(data, name, "rps"))
            page.headline(f"the same read by {who}", f"{cell(name, 'rps', '/s')}; ours is {page.spread(ratio)} times that")
    page.headline("from the 202 of a registration to a tenant that is ready",
                  f"{page.spread([page.median(ready)], 'ms')} p50, {ready[len(ready) * 99 // 100]:.1f} ms p99")


def report_peers(data, page):
    threads = lambda n: "1 thread" if n == 1 else f"{n} threads"
    page.text("""
### Beside others

The same read of the same row on the same PostgreSQL by services of others (what each does: [bench/peers](../bench/peers/README.md)),
by pgbench without HTTP or token, and the health route beside nginx's `return 200` of the same body with one worker and without
the eight headers more that we send. In turn with ours, round by round; answers (status, headers, body; found, not found, wrong token,
not modified) were compared before. We keep what was found of a token, and so does Node's library; Go's has nothing for it and checks
ES256 on each request, so there is a second Go service with a map of good tokens in front, whose expiry it looks at.""")
    rows = [row(page, data, f"read, {name}, {threads(n)}", f"read {name} {n}")
            for name in ["Insula", *data["peers"]] for n in (1, 2)]
    rows += [row(page, data, f"read, pgbench, {n} clients", f"pgbench {n}") for n in (16, 64)]
    rows += [row(page, data, "health, Insula, 1 thread", "health 1")]
    rows += [row(page, data, "health, nginx, 1 worker", "nginx")] if "nginx" in data["found"] else []
    page.table(HEADS[:6], [r[:6] for r in rows])
    pools = [f"{name} thread{'s' if name.endswith('2') else ''}: {p['best']}" for name, p in data["pools"].items()]
    if pools:
        page.text(f"Connections to PostgreSQL of each, the best of {', '.join(map(str, POOLS))} for it: {'; '.join(pools)}. "
                  "Insula uses one connection for one tenant.")
    bars = lambda key: {name: [(threads(n), column(data, f"read {name} {n}", key)) for n in (1, 2)]
                        for name in ["Insula", *data["peers"]]}
    page.plot("read", "Tenant read, 64 connections", "", "requests/s", bars("rps"), bars=True)
    page.plot("cpu", "Server CPU of a tenant read", "", "µs", bars("server_cpu_us"), bars=True)
    rps = lambda name: column(data, name, "rps")
    for name in data["peers"]:
        for n in (1, 2):
            ratios = page.ratios(rps(f"read Insula {n}"), rps(f"read {name} {n}"))
            page.target(f"tenant read over HTTP ÷ the {name} peer, {threads(n)}", ratios, at_least=3)
    page.target("tenant read over HTTP ÷ pgbench, 64 each", page.ratios(rps("read Insula 1"), rps("pgbench 64")),
                at_least=1.0)
    page.target("tenant read over HTTP ÷ pgbench, 16 each",
                page.ratios(rps("read Insula 1, 16 connections"), rps("pgbench 16")), at_least=1.0)
    sixteen(data, page)
    if "nginx" in data["found"]:
        cpu = lambda name: column(data, name, "server_cpu_us")
        page.target("health route CPU ÷ nginx `return 200`", page.ratios(cpu("health 1"), cpu("nginx")), at_most=1.0)


def sixteen(data, page):
    """What stands between a read at 16 connections and pgbench: everybody's CPU, and what two cores can give."""
    ours, theirs = "read Insula 1, 16 connections", "pgbench 16"
    middle = lambda name, key: page.median(column(data, name, key))
    wrk_us, server, postgres = (middle(ours, key) for key in ("client_cpu_us", "server_cpu_us", "postgres_cpu_us"))
    pgbench_us, backend = (middle(theirs, key) for key in ("client_cpu_us", "postgres_cpu_us"))
    rate, peer = middle(ours, "rps"), middle(theirs, "rps")
    cores = len(os.sched_getaffinity(0))
    most = lambda us: cores * 1e6 / us
    busy = lambda rps, us: rps * us / 1e6
    allowed = lambda us: f"{most(us) / peer:.2f}"
    page.text(
        "At 16 connections each waits for its answer before it asks again, so a round trip more, HTTP's, is in each of ours; pgbench "
        "has a connection and a backend of PostgreSQL for each client, where ours share one backend. CPU of a request, medians: "
        f"wrk {wrk_us:.1f} µs, the service {server:.1f}, PostgreSQL {postgres:.1f}, together {wrk_us + server + postgres:.1f}: "
        f"{busy(rate, wrk_us + server + postgres):.2f} of {cores} cores are busy. pgbench {pgbench_us:.1f} and PostgreSQL {backend:.1f}: "
        f"{busy(peer, pgbench_us + backend):.2f}. Were no core ever idle, these costs would allow {allowed(wrk_us + server + postgres)} of "
        f"what pgbench did here, {allowed(wrk_us + server / 2 + postgres)} with half of the service's cost, "
        f"{allowed(wrk_us + postgres)} if the service cost nothing; and one tenant's backend, always busy, "
        f"{1e6 / postgres / peer:.2f}.")
