"""`insula dev` on a data directory that is kept, a `insula serve` beside it, and what /proc says about their processes."""
import glob, http.client, json, os, signal, subprocess, time

from suite.processes import cpu_of, free_port, read

PASSWORD = "correct horse battery staple"
# Argon2 at its least: 10,000 registrations and log-ins shall measure tenants, not passwords. Said with every figure.
CHEAP = {"INSULA_PASSWORD_PASSES": "1", "INSULA_PASSWORD_MEMORY": "1"}
START_LIMIT = 120


def memory_of(pid):
    """KiB by kind. Private: in no other process, so what this one costs."""
    found = {}
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines()[1:]:
        name, _, value = line.partition(":")
        found[name] = int(value.split()[0])
    return {"rss": found.get("Rss", 0), "pss": found.get("Pss", 0), "anonymous": found.get("Anonymous", 0),
            "private": found.get("Private_Clean", 0) + found.get("Private_Dirty", 0)}


class client:
    """One keep-alive connection; not for several threads."""

    def __init__(self, port):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method, path, body=None, token=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = "Bearer " + token
        self.http.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text else None


class program:
    """`insula COMMAND …` with an HTTP listener of its own, until stop(). `took`: seconds from exec to /readyz 200."""

    def __init__(self, insula, arguments, environment, log):
        self.port = free_port()
        settings = {"INSULA_RATE_LIMIT": "off", "INSULA_LOG": "warn,text", "INSULA_REQUIRE_VERIFIED_EMAIL": "false"}
        self.log = log
        begun = time.perf_counter()
        with open(log, "w") as out:
            self.process = subprocess.Popen([insula, *arguments, "--listen", f"127.0.0.1:{self.port}"], stdout=out,
                                            stderr=out, env=dict(os.environ, **settings, **environment))
        try:
            self.await_ready(begun)
        except BaseException:
            self.stop()
            raise
        self.took = time.perf_counter() - begun

    def await_ready(self, begun):
        while time.perf_counter() - begun < START_LIMIT:
            try:
                return client(self.port).call("GET", "/readyz")
            except OSError:
                pass
            except RuntimeError:  # 503: it listens, and is not ready
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.001)
        raise RuntimeError("insula did not start: " + read(self.log))

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


class cluster:
    """A data directory of `insula dev`. Usable as a context: ends what it started."""

    def __init__(self, insula, data, **environment):
        self.insula, self.data = insula, os.path.abspath(data)
        self.environment = environment
        self.dev = None
        os.makedirs(self.data, exist_ok=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Seconds until ready."""
        self.dev = program(self.insula, ["dev", "--data-dir", self.data], self.environment, self.data + "/dev.log")
        return self.dev.took

    def stop(self):
        if self.dev:
            self.dev.stop()
            self.dev = None

    def serve(self, **environment):
        """A second service on the same database, as in production."""
        return program(self.insula, ["serve", "--config", self.data + "/settings.toml"],
                       dict(self.environment, **environment), self.data + "/serve.log")

    def command(self, *arguments, **environment):
        """Another command on this database: (seconds, what it printed). Fails loudly."""
        begun = time.perf_counter()
        done = subprocess.run([self.insula, *arguments, "--config", self.data + "/settings.toml"], text=True,
                              capture_output=True, env=dict(os.environ, **environment))
        took = time.perf_counter() - begun
        if done.returncode:
            raise RuntimeError(f"insula {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return took, done.stdout + done.stderr

    def connect_options(self):
        return ["-h", self.data + "/postgres/socket", "-U", "postgres", "-d", "insula"]

    def sql(self, text):
        """As the superuser; rows as lines of |-separated values."""
        program = sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))[-1]
        done = subprocess.run([program, *self.connect_options(), "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"],
                              input=text, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def tenants(self):
        return int(self.sql("select count(*) from control.tenant where status = 'ready'"))

    def postmaster(self):
        return int(read(self.data + "/postgres/cluster/postmaster.pid").split("\n")[0])

    def postgres_cpu(self):
        """Seconds of CPU of the PostgreSQL server, all its processes, the ended ones too."""
        return cpu_of(self.postmaster(), with_children=True)

    def backends(self):
        """Client backends by pid: which login each serves."""
        rows = self.sql("select pid, usename from pg_stat_activity where backend_type = 'client backend'"
                        " and usename <> 'postgres'")
        return {int(pid): user for pid, user in (line.split("|") for line in rows.splitlines())}
