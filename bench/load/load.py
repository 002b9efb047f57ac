"""What the load programs beside this file share: a service of their own, wrk, CPU from /proc, medians."""
import glob, json, os, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time, urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TICK = os.sysconf("SC_CLK_TCK")


def call(url, body=None, token=None, method=None):
    request = urllib.request.Request(url, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def cpu_of(pids):
    """Seconds of CPU, user and system, of processes (and of children they have reaped: backends that ended)."""
    total = 0
    for pid in pids:
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += sum(int(fields[i]) for i in (11, 12))
        except OSError:
            pass
    return total / TICK


def read(path):
    """Of /proc: empty when the process has ended."""
    try:
        return open(path).read()
    except OSError:
        return ""


def children(pid):
    found = []
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        for child in read(task).split():
            found += [int(child)] + children(int(child))
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class service:
    def __init__(self, folder, options):
        self.data = folder + "/data"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = open(folder + "/log", "w")
        environment = dict(os.environ, INSULA_RATE_LIMIT="off", INSULA_LOG="warn", INSULA_THREADS=str(options.threads),
                           INSULA_RUNTIME=options.runtime, INSULA_REQUIRE_VERIFIED_EMAIL="false")
        self.process = subprocess.Popen([ROOT + "/build/release/insula", "dev", "--data-dir", self.data, "--listen",
                                         self.url[7:]], env=environment, stdout=self.log, stderr=self.log)
        for _ in range(300):
            try:
                call(self.url + "/readyz")
                break
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("insula ended: see " + folder + "/log")
                time.sleep(0.1)
        self.postgres = self.postgres_pids()

    def postgres_pids(self):
        return [p for p in children(self.process.pid) if "postgres" in read(f"/proc/{p}/comm")]

    def metric(self, name):
        with urllib.request.urlopen(self.url + "/metrics") as answer:
            return sum(float(line.rsplit(" ", 1)[1]) for line in answer.read().decode().splitlines()
                       if line.startswith(name) and not line.startswith("#"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def registrations(s, count, tag):
    """Milliseconds from the 202 to ready, as a client that waits sees them."""
    took, last = [], None
    for i in range(count):
        slug = f"{tag}{i}"
        made = call(s.url + "/api/v1/auth/register", {
            "email": f"{slug}@example.org", "password": "correct horse battery staple", "full_name": "Load",
            "tenant_name": slug, "tenant_slug": slug})
        begun = time.perf_counter()
        status = call(s.url + made["status_url"] + "?wait=10")
        took.append((time.perf_counter() - begun) * 1000)
        assert status["status"] == "ready", status
        last = slug
    return took, last


def wrk(s, path, token, options, lua=""):
    """`lua`: what wrk shall send, when it is not a plain GET."""
    script = tempfile.NamedTemporaryFile("w", suffix=".lua")
    script.write(lua + "\n")
    script.write('done = function(s, l) io.write(string.format("RESULT %d %d %d %d %d\\n", s.requests, s.duration, '
                 'l:percentile(50), l:percentile(99), s.errors.status + s.errors.connect + s.errors.read + s.errors.timeout)) end')
    script.flush()
    before, pg_before = cpu_of([s.process.pid]), cpu_of(s.postgres_pids())
    trips = s.metric("insula_pg_round_trips_total")
    arguments = ["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", "-s", script.name]
    if token:
        arguments += ["-H", "Authorization: Bearer " + token]
    out = subprocess.run(arguments + [s.url + path], capture_output=True, text=True).stdout
    requests, micros, p50, p99, errors = map(int, re.search(r"RESULT (.*)", out).group(1).split())
    assert errors == 0, out
    return {"rps": requests / (micros / 1e6), "p50_us": p50, "p99_us": p99,
            "server_cpu_us": (cpu_of([s.process.pid]) - before) * 1e6 / requests,
            "postgres_cpu_us": (cpu_of(s.postgres_pids()) - pg_before) * 1e6 / requests,
            "round_trips": (s.metric("insula_pg_round_trips_total") - trips) / requests}


def show(name, rounds):
    parts = []
    for key in rounds[0]:
        values = sorted(r[key] for r in rounds)
        parts.append(f"{key} {statistics.median(values):.1f} ({values[0]:.1f}–{values[-1]:.1f})")
    print(f"{name:<34} " + "   ".join(parts), flush=True)


def machine():
    cpu = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    version = subprocess.run([ROOT + "/build/release/insula", "--version"], capture_output=True, text=True).stdout.strip()
    return f"{len(cpu)} × {cpu[0]}, kernel {os.uname().release}, {version}"


def check_tools():
    if not os.path.exists(ROOT + "/build/release/insula"):
        sys.exit("build/release/insula is missing: run scripts/build release")
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: run scripts/packages --install bench")
