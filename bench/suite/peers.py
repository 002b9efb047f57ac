"""Those we are compared with over HTTP: nginx, and the services of bench/peers. Each is a process with a URL and its CPU."""
import os, re, secrets, shlex, shutil, subprocess, tempfile, time, urllib.request

from .bench import cannot
from .machine import ROOT, postgres_bin
from .processes import cpu_of, end, free_port, read, wait_for

PEERS = ROOT + "/bench/peers"
LOGIN = "insula_bench_peer"
NGINX = """
worker_processes {workers};
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} reuseport;
        location /livez {{ default_type application/json; return 200 '{{"status":"alive"}}'; }}
    }}
}}
"""
# What the service sends for a unit of work (src/pg/connection_send.cpp), as the same messages.
PGBENCH = """\\startpipeline
select pg_catalog.set_config('role', '{schema}', true), pg_catalog.set_config('lock_timeout', '50', true), \
pg_catalog.set_config('statement_timeout', '30000', true);
select id, name, description, version, created_at, updated_at from {schema}.projects where id = '{project}';
\\endpipeline
"""


class peer:
    """A server of somebody else's on 127.0.0.1."""

    def __init__(self, name, command, folder, environment=None, port=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = f"{folder}/{re.sub('[^a-z0-9]+', '-', name.lower())}.log"
        variables = {k: str(v) for k, v in (environment or {}).items()}
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out,
                                            env=dict(os.environ, PEER_LISTEN=self.url[7:], **variables))
        try:
            wait_for(self.port, self.process, name)
        except RuntimeError as reason:
            self.stop()
            raise RuntimeError(f"{reason}: {read(self.log)}") from None

    def cpu(self):
        return cpu_of(self.process.pid, with_children=True)

    def stop(self):
        end(self.process, 10)


def nginx(folder, workers=1):
    program = shutil.which("nginx") or ("/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else None)
    if not program:
        raise cannot("nginx is not installed")
    place = tempfile.mkdtemp(prefix="nginx-", dir=folder)
    os.chmod(place, 0o755)
    port = free_port()
    with open(place + "/conf", "w") as out:
        out.write(NGINX.format(workers=workers, folder=place, port=port))
    return peer("nginx", [program, "-p", place, "-e", place + "/error.log", "-c", place + "/conf"], folder, port=port)


def build_go(bench):
    """Path of the program."""
    if not shutil.which("go"):
        raise cannot("Go is not installed")
    path = bench.build + "/peers/go_peer"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    bench.progress("building the Go peer")
    done = subprocess.run(["go", "build", "-o", path, "."], cwd=PEERS + "/go", capture_output=True, text=True,
                          env=dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOFLAGS=""))
    if done.returncode:
        raise cannot("the Go peer does not compile: " + done.stderr.strip()[-300:])
    return path


def build_node(bench):
    """Folder in which it is installed; what the lock file says, without running anything of the packages'."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise cannot("Node or npm is not installed")
    folder = bench.build + "/peers/node"
    shutil.copytree(PEERS + "/node", folder, dirs_exist_ok=True)
    bench.progress("installing the Node peer's packages")
    try:
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], cwd=folder,
                              capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        raise cannot("npm ci took more than three minutes") from None
    if done.returncode:
        raise cannot("npm ci failed: " + " ".join(done.stderr.split())[-300:])
    return folder


def make_login(service, schema):
    """The login of the peers and of pgbench: a member of the tenant's role that inherits its rights."""
    service.peer_password = secrets.token_hex(16)
    service.sql(f"do $$ begin if to_regrole('{LOGIN}') is null then create role {LOGIN} login; end if; end $$; "
                f"alter role {LOGIN} password '{service.peer_password}'; grant connect on database insula to {LOGIN}; "
                f"grant {schema} to {LOGIN}")


def shared_environment(service, folder):
    """The service's public keys, its name, its database."""
    path = folder + "/jwks.json"
    with urllib.request.urlopen(service.url + "/.well-known/jwks.json") as answer, open(path, "wb") as out:
        out.write(answer.read())
    return {"PEER_JWKS": path, "PEER_ISSUER": service.url}


def go(program, service, folder, threads, pool, verdicts=False):
    return peer(f"go {threads}", [program], folder, {
        **shared_environment(service, folder), "GOMAXPROCS": threads, "PEER_VERDICTS": "kept" if verdicts else "",
        "PEER_DATABASE": f"host={service.socket} user={LOGIN} dbname=insula password={service.peer_password} "
                         f"pool_max_conns={pool} pool_min_conns={pool}"})


def node(place, service, folder, processes, pool):
    return peer(f"node {processes}", ["node", place + "/main.js"], folder, {
        **shared_environment(service, folder), "NODE_ENV": "production", "PEER_PROCESSES": processes,
        "PEER_SOCKET": service.socket, "PEER_USER": LOGIN, "PEER_DATABASE_NAME": "insula", "PEER_POOL": pool,
        "PEER_PASSWORD": service.peer_password})


def pgbench(bench, service, schema, project, clients, seconds, warm=2):
    """The same unit of work without HTTP: role switch, time-outs and prepared statement in one pipeline. The first `warm`
    seconds do not count: each backend begins by filling its caches."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(PGBENCH.format(schema=schema, project=project))
        script.flush()
        os.chmod(script.name, 0o644)
        command = ["pgbench", "-n", "-M", "prepared", "-P", "1", "-c", str(clients), "-j", "1", "-f", script.name]
        bench.command(shlex.join(command[:-1]) + f" (the unit of work) -T {seconds + warm + 1}, without its first {warm} s")
        for length in (seconds + warm + 1, 4 * (seconds + warm)):  # on a busy machine 64 sessions take long to begin
            seen = pgbench_seconds(service, [*command, "-T", str(length)])
            begun = next((i for i, one in enumerate(seen) if one[1] > 0), len(seen))
            counted = seen[begun + warm - 1:]
            if len(counted) > 1 and counted[-1][0] - counted[0][0] > 0.9 * seconds:
                break
        else:
            raise RuntimeError(f"pgbench with {clients} clients hardly does anything: {seen}")
    first, rest = counted[0], counted[1:]
    done = sum(one[1] * (one[0] - before[0]) for before, one in zip(counted, rest))
    rps = done / (rest[-1][0] - first[0])
    # CPU by our own clock: on a busy machine its lines are read later than it wrote them.
    cpu_us = lambda which: (rest[-1][which] - first[which]) / (rest[-1][5] - first[5]) / rps * 1e6
    return {"rps": rps, "postgres_cpu_us": cpu_us(3), "client_cpu_us": cpu_us(4), "mean_us": sum(one[2] for one in rest) / len(rest) * 1000}


def pgbench_seconds(service, command):
    """[(second, transactions a second, latency in ms, CPU seconds until then: PostgreSQL's, pgbench's, when we
    read that)]"""
    process = subprocess.Popen([postgres_bin() + command[0], *command[1:], "-h", service.socket, "-U", LOGIN, "insula"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env=dict(os.environ, PGPASSWORD=service.peer_password))
    seen, said = [], ""
    for line in process.stderr:  # progress: 1.0 s, 41000.1 tps, lat 1.5 ms stddev 0.6, 0 failed
        said += line
        found = re.match(r"progress: ([0-9.]+) s, ([0-9.]+) tps, lat ([0-9.]+) ms", line)
        if found:
            seen.append((*map(float, found.groups()), service.postgres_cpu(), cpu_of(process.pid),
                         time.monotonic()))
    if process.wait():
        raise RuntimeError(said)
    return seen
