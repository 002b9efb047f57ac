"""The log-in storm (G16): do 200 log-ins a second keep those waiting who have a token?"""
import json, os, shutil, subprocess, sys, tempfile, time

from suite.processes import memory
from suite.service import PASSWORD, call, service

TITLE = "Log-in storm"
ORDER = 75
PROGRAMS = ["paced_load"]
PEOPLE = 60
LOGINS, READS = 200, 300  # a second
# What takes a core's time and cache as Argon2id does, and is asked for by nobody: nothing a service could do would make
# it cheaper for its neighbours.
HOG = """import hashlib, os
os.nice(19)
while True: hashlib.scrypt(b'p', salt=b's' * 16, n=16384, r=8, p=1, maxmem=1 << 26)"""


class scene:
    """People who log in, somebody else who has a token and reads, and the requests of both as files."""

    def __init__(self, s, folder, people):
        self.port, self.folder = s.port, folder
        for i in range(people + 1):
            s.register(f"storm{i}")
        self.logins = [self.login(i, people) for i in range(2 * people)]
        # A person has a hundred sessions at most: the reader is none of those who log in.
        token = s.log_in(f"storm{people}")["access_token"]
        project = call(s.url + "/api/v1/projects", {"name": "Measured", "description": "a row"}, token)["id"]
        head = f"HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.read = [self.file("read", f"GET /api/v1/projects/{project} {head}")]
        # Answered from the token and from memory: no project has such an id.
        self.token_only = [self.file("token", f"GET /api/v1/projects/none {head}")]

    def file(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w") as out:
            out.write(text)
        return path

    def login(self, i, people):
        body = json.dumps({"email": f"storm{i % people}@example.org",
                           "password": PASSWORD if i < people else "not the password"})
        return self.file(f"login{i}", "POST /api/v1/auth/login HTTP/1.1\r\nHost: bench\r\n"
                         f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")


def paced(program, port, per_second, seconds, files):
    return subprocess.Popen([program, str(port), str(per_second), str(seconds)] + files, stdout=subprocess.PIPE,
                            text=True)


def answers(process):
    """[(status, told when to come back, microseconds)]"""
    out, _ = process.communicate()
    assert process.returncode == 0, "paced_load failed"
    return [(int(a), b == "1", float(c)) for a, b, c in (line.split() for line in out.splitlines())]


def quantiles(got, status):
    assert all(one[0] == status for one in got), f"answered {sorted({one[0] for one in got})}"
    times = sorted(one[2] for one in got)
    return {"p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100], "max_us": times[-1]}


def reads(program, at, seconds):
    """Both kinds at once, each at half of the pace."""
    one = paced(program, at.port, READS / 2, seconds, at.token_only)
    two = paced(program, at.port, READS / 2, seconds, at.read)
    return {"token": quantiles(answers(one), 404), "read": quantiles(answers(two), 200)}


def round_of(program, at, seconds, met):
    found = {"idle": reads(program, at, seconds)}
    logins = paced(program, at.port, LOGINS, seconds + 1, at.logins)
    time.sleep(0.5)
    found["storm"] = reads(program, at, seconds)
    for status, again, micros in answers(logins):
        assert status in (200, 401) or (status == 503 and again), f"a log-in answered {status}"
        met.setdefault(str(status), []).append(micros)
    hog = subprocess.Popen([sys.executable, "-c", HOG])
    try:
        time.sleep(0.5)
        found["hog"] = reads(program, at, seconds)
    finally:
        hog.kill()
        hog.wait()
    return found


def measure(bench):
    program = bench.program("paced_load")
    folder = tempfile.mkdtemp(prefix="insula-storm-")
    os.chmod(folder, 0o755)
    seconds = 1 if bench.quick else 6
    for what, pace in (("token-only", READS // 2), ("tenant-read", READS // 2), ("log-ins", LOGINS)):
        bench.command(f"paced_load PORT {pace} {seconds} {what}")
    s = service(bench, folder, INSULA_THREADS=1)
    try:
        bench.progress(f"{PEOPLE} people register")
        at = scene(s, folder, 4 if bench.quick else PEOPLE)
        pid = s.process.pid
        before, rounds, met = memory(pid, "VmRSS"), [], {}
        answers(paced(program, at.port, READS, 1, at.read))
        for i in range(bench.rounds):
            bench.progress(f"round {i + 1} of {bench.rounds}")
            rounds.append(round_of(program, at, seconds, met))
        for times in met.values():
            times.sort()
        return {"rounds": rounds, "seconds": seconds,
                "logins": {status: {"count": len(v), "p50_us": v[len(v) // 2], "p99_us": v[len(v) * 99 // 100]}
                           for status, v in sorted(met.items())},
                "memory_mib": {"before": before, "most": memory(pid, "VmHWM"), "after": memory(pid, "VmRSS")}}
    finally:
        s.stop()
        shutil.rmtree(folder, ignore_errors=True)


NAMES = {"idle": "alone", "storm": f"beside {LOGINS} log-ins/s", "hog": "beside a process that hashes at nice 19"}
ROUTES = {"token": "token only", "read": "tenant read"}


def report(data, page):
    rounds = data["rounds"]
    of = lambda when, route, what: [one[when][route][what] for one in rounds]
    page.text(f"""{READS // 2} token-only requests and {READS // 2} tenant reads a second, at a fixed pace whatever the
answers do (`bench/load/paced.cpp`, real-time priority): alone, beside {LOGINS} log-ins a second, half of them with a
wrong password, and beside one process that does nothing but compute scrypt at nice 19, which is the floor for a core that
hashes. The service hashes on one thread fewer than the machine has cores, at nice +10 with long slices (loops ask
for short ones), and refuses with 503 and Retry-After whom it cannot serve within 2 s, before anything is looked up.
Clients, PostgreSQL and the service share the machine's cores. A machine that is never idle is awake sooner, so the
floor can be below "alone".""")
    page.table(["route", "when", "p50", "p99", "longest"],
               [[ROUTES[route], NAMES[when]] +
                [page.spread(of(when, route, what), "µs") for what in ("p50_us", "p99_us", "max_us")]
                for route in ROUTES for when in NAMES])
    page.table(["log-ins answered", "count", "p50", "p99"],
               [[status, one["count"], page.spread(one["p50_us"], "µs"), page.spread(one["p99_us"], "µs")]
                for status, one in data["logins"].items()])
    used = data["memory_mib"]
    page.text(f"Memory of the service: {used['before']:.0f} MiB before, {used['most']:.0f} at most, "
              f"{used['after']:.0f} after.")
    bars = {NAMES[when]: [(ROUTES[route], of(when, route, "p99_us")) for route in ROUTES] for when in NAMES}
    page.plot("p99", "p99 of those who have a token", "", "µs", bars, bars=True)
    page.target(f"token route p99 beside {LOGINS} log-ins/s ÷ alone",
                page.ratios(of("storm", "token", "p99_us"), of("idle", "token", "p99_us")), at_most=1.3)
    page.target(f"tenant read p99 beside {LOGINS} log-ins/s ÷ alone",
                page.ratios(of("storm", "read", "p99_us"), of("idle", "read", "p99_us")), at_most=1.3)
