"""Instructions that a request costs the service: counted, not timed, so the same on any day and any busy machine."""
import glob, os, re, shutil, subprocess, tempfile

from suite.bench import cannot
from suite.service import call, service
from suite.wrk import posting, wrk

TITLE = "Instructions of a request"
ORDER = 55
PROGRAMS = []
LOG_IN = '{"email":"counted0@example.org","password":"correct horse battery staple","tenant_slug":"counted0"}'
# valgrind 3.19 cannot read what clang 19 writes about lines; names of functions are enough.
WRAPPER = """#!/bin/sh
exec valgrind --tool=callgrind --instr-atstart=no --separate-threads=no "--callgrind-out-file={folder}/out.%p" \
{folder}/stripped "$@"
"""


class counted:
    """In place of `bench`, for a service that runs under callgrind."""

    def __init__(self, bench, folder):
        self.bench, self.folder = bench, folder
        subprocess.run(["objcopy", "--strip-debug", bench.program("insula"), folder + "/stripped"], check=True)
        with open(folder + "/insula", "w") as out:
            out.write(WRAPPER.format(folder=folder))
        os.chmod(folder + "/insula", 0o755)

    def program(self, name):
        return f"{self.folder}/{name}"

    def command(self, text):
        self.bench.command(re.sub(r" \S*insula dev", " valgrind --tool=callgrind build/bench/insula dev", text))


def control(pid, *what):
    subprocess.run(["callgrind_control", *what, str(pid)], check=True, capture_output=True)


def warm(work):
    """callgrind translates what runs, for seconds on a busy machine; the service prepares statements and fills caches."""
    for last in (False, False, False, True):
        try:
            work()
            return
        except RuntimeError:  # connections that were not answered within wrk's two seconds
            if last:
                raise


def instructions(folder, pid, work):
    """What a request of work() takes, which returns their number: the lesser of two, because a connection to PostgreSQL
    that happens to be opened meanwhile is not the requests'."""
    control(pid, "-i", "on")
    warm(work)
    found = min(counted_once(folder, pid, work) for _ in range(2))
    control(pid, "-i", "off")
    return found


def counted_once(folder, pid, work):
    control(pid, "-z")
    requests = work()
    known = set(glob.glob(f"{folder}/out.{pid}.*"))
    control(pid, "-d")  # to a file of its own
    (dump,) = set(glob.glob(f"{folder}/out.{pid}.*")) - known
    with open(dump) as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(("summary:", "totals:"))) / requests


def kinds(s, bench):
    """{name: what sends such requests for a while and returns how many}"""
    s.register("counted0")
    token = s.log_in("counted0")["access_token"]
    ids = [call(s.url + "/api/v1/projects", {"name": f"Counted {i}", "description": "a row"}, token)["id"]
           for i in range(20)]
    seconds = 2 if bench.quick else 3

    def load(path, connections=64, **more):
        return lambda: wrk(bench, s.url + path, connections=connections, seconds=seconds, **more)["requests"]

    return {"health": load("/livez"), "token only": load("/api/v1/projects/none", token=token, refused=True),
            "tenant read": load(f"/api/v1/projects/{ids[0]}", token=token),
            "tenant read, one at a time": load(f"/api/v1/projects/{ids[0]}", token=token, connections=1),
            "list of 20": load("/api/v1/projects?limit=20", token=token),
            "tenant write": load("/api/v1/projects", token=token, connections=16,
                                 lua=posting('{"name":"{n}","description":"some text"}')),
            "log-in, a hash of 1 MiB": load("/api/v1/auth/login", connections=2, lua=posting(LOG_IN))}


def measure(bench):
    if not shutil.which("valgrind") or not shutil.which("objcopy"):
        raise cannot("valgrind or objcopy is missing")
    folder = tempfile.mkdtemp(prefix="insula-requests-")
    os.chmod(folder, 0o777)  # PostgreSQL's user leaves a file, too
    s = None
    try:
        # A cheap hash: a log-in then costs what it costs besides its hash.
        s = service(counted(bench, folder), folder + "/service", INSULA_THREADS=1, INSULA_RUNTIME="epoll",
                    INSULA_PASSWORD_MEMORY=1, INSULA_PASSWORD_PASSES=1)
        found = {}
        for name, work in kinds(s, bench).items():
            bench.progress(name)
            found[name] = instructions(folder, s.process.pid, work)
        return found
    finally:
        if s is not None:
            s.stop()
        shutil.rmtree(folder, ignore_errors=True)


def report(data, page):
    page.text("""All threads of the service, user space only, on the epoll backend, which callgrind can follow; 64
connections where nothing else is said. The log-in has a hash of 1 MiB and one pass instead of 19 and two. What the
kernel does for a request comes on top and is about as much time again.""")
    page.table(["request", "instructions"], [[name, f"{count:,.0f}"] for name, count in data.items()])
