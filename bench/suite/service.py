"""A service of the measurement's own: `insula dev` with its PostgreSQL, more processes of it beside, and what clients do."""
import json, os, signal, subprocess, time, urllib.request

from .machine import postgres_bin
from .processes import children, cpu_of, end, free_port, read

PASSWORD = "correct horse battery staple"


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


class process:
    """One process of the service. `cpu()` is its own, without PostgreSQL's."""

    def __init__(self, bench, arguments, log, environment):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {"INSULA_RATE_LIMIT": "off", "INSULA_LOG": "warn", "INSULA_REQUIRE_VERIFIED_EMAIL": "false",
                    "INSULA_LISTEN": self.url[7:], **{key: str(value) for key, value in environment.items()}}
        self.log = log
        bench.command(" ".join(f"{k}={v}" for k, v in settings.items() if k not in ("INSULA_LISTEN", "INSULA_PUBLIC_URL"))
                      + f" build/bench/insula {arguments[0]}")
        with open(log, "w") as out:
            self.process = subprocess.Popen([bench.program("insula"), *arguments], env=dict(os.environ, **settings),
                                            stdout=out, stderr=out)
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def wait(self):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                call(self.url + "/readyz")
                return
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError("insula ended:\n" + read(self.log)) from None
                time.sleep(0.05)
        raise RuntimeError("insula is not ready:\n" + read(self.log))

    def cpu(self):
        return cpu_of(self.process.pid)

    def metric(self, name):
        with urllib.request.urlopen(self.url + "/metrics") as answer:
            return sum(float(line.rsplit(" ", 1)[1]) for line in answer.read().decode().splitlines()
                       if line.startswith(name) and not line.startswith("#"))

    def stop(self):
        end(self.process)


class service(process):
    """`insula dev`: brings its PostgreSQL, in `folder`/data."""

    def __init__(self, bench, folder, **environment):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)  # PostgreSQL runs as another user when this is root
        self.data = folder + "/data"
        self.socket = self.data + "/postgres/socket"
        super().__init__(bench, ["dev", "--data-dir", self.data], folder + "/log", environment)
        self.postmaster = next(pid for pid in children(self.process.pid)
                               if read(f"/proc/{pid}/comm").startswith("postgres"))

    def beside(self, bench, **environment):
        """Another process on the same database, with the same issuer of tokens."""
        number = getattr(self, "others", 0) + 1
        self.others = number
        return process(bench, ["serve", "--config", self.data + "/settings.toml"], f"{self.data}/../log{number}",
                       {"INSULA_PUBLIC_URL": self.url, **environment})

    def postgres_cpu(self):
        """All of PostgreSQL, sessions that have ended included."""
        return cpu_of(self.postmaster, with_children=True)

    def sql(self, text):
        for last in (False, False, False, True):  # workers are at the same rows: it may lose a deadlock
            done = subprocess.run([postgres_bin() + "psql", "-h", self.socket, "-U", "postgres", "-d", "insula", "-AtqX",
                                   "-v", "ON_ERROR_STOP=1", "-c", text], capture_output=True, text=True)
            if done.returncode == 0:
                return done.stdout.strip()
            if last or "deadlock" not in done.stderr:
                raise RuntimeError(done.stderr)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(90)

    def register(self, slug):
        """A person with a tenant of that name; milliseconds from the 202 to ready, as a client that waits sees them."""
        made = call(self.url + "/api/v1/auth/register", {
            "email": f"{slug}@example.org", "password": PASSWORD, "full_name": "Load", "tenant_name": slug,
            "tenant_slug": slug})
        begun = time.perf_counter()
        status = call(self.url + made["status_url"] + "?wait=10")
        took = (time.perf_counter() - begun) * 1000
        if status["status"] != "ready":
            raise RuntimeError(f"{slug}: {status}")
        return took

    def log_in(self, slug):
        return call(self.url + "/api/v1/auth/login",
                    {"email": f"{slug}@example.org", "password": PASSWORD, "tenant_slug": slug})
