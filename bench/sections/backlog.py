"""What 10,000 tasks that wait do to the routes of the API: the p99 of each, with them beside without them."""
import os, shutil, tempfile

from suite.service import PASSWORD, call, service
from suite.wrk import posting, wrk

TITLE = "The API beside a full queue"
ORDER = 85
PROGRAMS = []
CONNECTIONS = 8
TASKS = 10000
ENQUEUE = """select count(*) from (select queue.enqueue(gen_random_uuid(), 'mail.resend_verification', 1, 0::smallint, 0::smallint,
    0, null, null, null, null, null, interval '{delay}', null, '{{"email_canonical":"nobody@example.org"}}')
    from generate_series(1, {count})) made"""
EMPTY = "select queue.pause(0::smallint); truncate queue.run, queue.ready, queue.timer, queue.step, queue.history"
UNPAUSE = "select queue.unpause(0::smallint)"
# State: what is enqueued, and whether the workers are held back.
STATES = {
    "empty": (None, False),
    "waiting for a time": ("1 hour", False),
    "ready, queue paused": ("0", True),
    "being worked off": ("0", False),
}


class scene:
    def __init__(self, bench, folder):
        self.bench = bench
        self.seconds = 1 if bench.quick else 3
        self.tasks = 200 if bench.quick else TASKS
        self.service = service(bench, folder, INSULA_THREADS=1)

    def begin(self):
        self.service.register("reader")
        self.service.register("person")  # who logs in: a reader's sessions would be ended by a hundred more
        self.token = self.service.log_in("reader")["access_token"]
        project = call(self.service.url + "/api/v1/projects", {"name": "Measured"}, self.token)["id"]
        login = f'{{"email": "person@example.org", "password": "{PASSWORD}"}}'
        self.routes = {
            "GET /projects/{id}": ("/api/v1/projects/" + project, True, ""),
            "GET /users/me": ("/api/v1/users/me", True, ""),
            "POST /projects": ("/api/v1/projects", True, posting('{"name": "{n}"}')),
            "POST /auth/login": ("/api/v1/auth/login", False, posting(login)),
        }

    def p99(self, route, state):
        delay, paused = STATES[state]
        self.service.sql(EMPTY)
        if delay is not None:
            self.service.sql(ENQUEUE.format(count=self.tasks, delay=delay))
        if not paused:
            self.service.sql(UNPAUSE)
        path, with_token, lua = self.routes[route]
        return wrk(self.bench, self.service.url + path, self.token if with_token else None, CONNECTIONS, self.seconds,
                   lua)["p99_us"]


def measure(bench):
    folder = tempfile.mkdtemp(prefix="insula-backlog-")
    os.chmod(folder, 0o755)
    s = None
    try:
        s = scene(bench, folder)
        s.begin()
        found = {route: {state: [] for state in STATES} for route in s.routes}
        for r in range(min(bench.rounds, 3)):
            bench.progress(f"round {r + 1} of {min(bench.rounds, 3)}")
            states = list(STATES)[r % len(STATES):] + list(STATES)[:r % len(STATES)]
            for route in s.routes:
                for state in states:
                    found[route][state].append(s.p99(route, state))
        return {"p99_us": found, "tasks": s.tasks}
    finally:
        if s:
            s.service.stop()
        shutil.rmtree(folder, ignore_errors=True)


def report(data, page):
    page.text(f"""
{data['tasks']:,} tasks in the queue while {CONNECTIONS} connections ask (wrk): p99, and the median of the rounds' ratios to the p99
with an empty queue. "Waiting for a time" is timers an hour away; "ready, queue paused" means that every look of the workers
meets them; "being worked off" is load, four workers of the same process and their commits, and no waiting.""")
    rows = []
    for route, states in data["p99_us"].items():
        cells = [page.spread(states["empty"], "µs")]
        for state in list(STATES)[1:]:
            ratio = page.median(page.ratios(states[state], states["empty"]))
            cells.append(f"{page.spread(states[state], 'µs')}, × {ratio:.2f}")
        rows.append([f"`{route}`", *cells])
    page.table(["p99", *STATES], rows)
    for route in ("GET /projects/{id}", "GET /users/me"):
        states = data["p99_us"][route]
        page.target(f"p99 of `{route}` beside {data['tasks']:,} waiting timers ÷ an empty queue",
                    page.ratios(states["waiting for a time"], states["empty"]), at_most=1.2)
