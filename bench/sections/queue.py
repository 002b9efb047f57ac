"""The durable queue beside the raw SQL of the same rows: the engine (queue_bench) and pgbench, one after the other."""
import json, os, re, resource, shutil, signal, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "queue"))
import raw_sql

TITLE = "The durable queue"
ORDER = 60
PROGRAMS = ["queue_bench"]
WORKERS = 16
LEASE_MS = 2000
# What: (title, aim of engine ÷ raw, rows of one measurement; 0: by time)
KINDS = {
    "enqueue": ("enqueue one by one, 64 clients", 0.93, 0),
    "enqueue_batch": ("enqueue in batches of 5,000, rows", None, 0),
    "calls": ("claim and complete, in batches", 0.9, 50_000),
    "singles": ("claim and complete, one commit each", 0.95, 5_000),
    "steps": ("durable steps", 0.95, 20_000),
    "three": ("workflows of 3 steps", None, 5_000),
    "joined": ("workflows of 3 steps in one transaction", None, 5_000),
    "provision": ("provisioning with DDL, a transaction per step", 0.9, 150),
    "provision_joined": ("provisioning with DDL, one transaction", 0.75, 150),
}
BATCHED_ROWS = 150_000


def measure(bench):
    folder = tempfile.mkdtemp(prefix="insula-queue-")
    db = None
    found = {"kinds": {}, "pickup": {}, "recovery_s": [], "lease_s": LEASE_MS / 1000, "workers": WORKERS}
    try:
        db = raw_sql.database(folder)
        rounds = min(bench.rounds, 4)  # a minute each
        for turn in range(rounds):
            for what in KINDS:
                bench.progress(f"queue, round {turn + 1} of {rounds}: {what}")
                sides = [("engine", ours), ("raw", raw)]
                row = found["kinds"].setdefault(what, {"engine": [], "raw": []})
                for side, run in sides if turn % 2 == 0 else sides[::-1]:
                    row[side].append(run(bench, db, what))
            for what in ("pickup", "pickup_loaded"):
                db.empty()
                found["pickup"].setdefault(what, []).append(engine(bench, db, what, "--seconds", "2", "--count", "5000"))
        for _ in range(min(bench.rounds, 3)):
            found["recovery_s"].append(recovery(bench, db))
    finally:
        if db:
            db.control("stop")
        shutil.rmtree(folder, ignore_errors=True)
    return found


def rows_of(bench, what):
    count = KINDS[what][2]
    return max(64, count // 20) if bench.quick and count > 1000 else count


def logins(bench, db):
    return [bench.program("queue_bench")], ["--worker", f"host={db.folder} user=bench_worker dbname=postgres", "--app",
                                             f"host={db.folder} user=bench_app dbname=postgres"]


def engine(bench, db, what, *more):
    program, who = logins(bench, db)
    done = subprocess.run([*program, what, *who, "--workers", str(WORKERS), *more], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"queue_bench {what}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def counted(db, work):
    """What `work` answers, the CPU seconds of its own processes, and PostgreSQL's meanwhile."""
    mine = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    before, server = mine(), db.cpu()
    answer = work()
    client = mine() - before
    time.sleep(0.1)  # backends on their way out
    return answer, client, db.cpu() - server


def figure(per_second, units, client, server):
    return {"per_second": per_second, "client_us": client / units * 1e6, "postgres_us": server / units * 1e6}


def ours(bench, db, what):
    seconds = 0.3 if bench.quick else 1.5
    rows = rows_of(bench, what)
    bench.command(f"build/bench/bench/queue_bench {what} --worker … --app … --workers {WORKERS}")
    if not rows:
        db.empty()
        got, client, server = counted(db, lambda: engine(bench, db, what, "--seconds", str(seconds)))
        return figure(got["per_second"], got["all"], client, server)
    runs = rows // 20 if what == "steps" else rows
    db.empty(runs, raw_sql.KIND[what])
    got, client, server = counted(db, lambda: engine(bench, db, what, "--filled", "yes", "--count", str(runs)))
    return figure(got["per_second"], rows, client, server)


def raw(bench, db, what):
    script, clients, rows, mode = raw_sql.SQL[what]
    count = rows_of(bench, what)
    by_time = not count or what == "steps"
    db.empty(0 if by_time else count)
    if what == "steps":
        db.ask("insert into queue.run (id, kind, version, vt, state, token, owner, input) "
               "select lpad(i::text, 32, '0')::uuid, 'k', 1, 0, 1, 1, 1, '{}' from generate_series(0, 15) i")
    with open(db.folder + "/script.sql", "w") as f:
        f.write(script)
    length = ["-T", "1" if bench.quick else "2"] if by_time else ["-t", str(max(count // rows // clients, 1))]
    command = [raw_sql.BIN + "pgbench", "-n", "-M", mode, "-h", db.folder, "-U", "bench_worker", "-c", str(clients),
               "-j", "2", "-f", db.folder + "/script.sql", *length, "postgres"]
    bench.command(f"pgbench -n -M {mode} -c {clients} -j 2 -f {what} {' '.join(length)}   # SQL: bench/queue/raw_sql.py")
    done, client, server = counted(db, lambda: subprocess.run(command, capture_output=True, text=True))
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.M)
    made = re.search(r"transactions actually processed: (\d+)", done.stdout)
    if done.returncode or not rate:
        raise RuntimeError(done.stdout + done.stderr)
    return figure(float(rate[1]) * rows, max(int(made[1]), 1) * rows, client, server)


def recovery(bench, db):
    """Seconds from kill -9 of the process that works to the same call's beginning in another."""
    bench.command(f"build/bench/bench/queue_bench hang … --lease-ms {LEASE_MS} (killed), queue_bench rescue …")
    db.empty()
    program, who = logins(bench, db)
    begin = lambda what: subprocess.Popen([*program, what, *who, "--lease-ms", str(LEASE_MS)], stdout=subprocess.PIPE,
                                          text=True)
    with begin("hang") as victim:
        for _ in range(2):  # ready, and at work
            victim.stdout.readline()
        with begin("rescue") as other:
            other.stdout.readline()
            time.sleep(1.3)  # it has seen the victim alive
            killed = time.monotonic()
            victim.send_signal(signal.SIGKILL)
            answer = json.loads(other.stdout.readline())
            other.wait(20)
    return answer["begun"] - killed


def report(data, page):
    page.text(f"""
The engine ({data['workers']} slots, one thread) beside pgbench with hand-written SQL that writes the same rows and indexes,
one after the other in changing order, on the same PostgreSQL (synchronous commit, fsync), emptied before each. The raw side
is an equal in what is written: a step takes effect only under its claim's token, each unit of work is a commit of its own.
It decides nothing: it reads no deadline and no cancellation, checks no step number, sets no lock_timeout, raises nothing, and
in batches it gets back an array of ids where the engine gets whole runs, decodes each, runs a coroutine with its own slot,
lease check and metrics for each, and completes what has gathered. CPU is of the whole measurement, connecting included.""")
    heads = ["work", "engine /s", "raw SQL /s", "engine ÷ raw", "PostgreSQL CPU µs, engine", "raw", "engine's own CPU µs", "pgbench's"]
    rows = []
    column = lambda values, name: [v[name] for v in values]
    for what, (title, aim, _) in KINDS.items():
        both = data["kinds"][what]
        engine_, raw_ = both["engine"], both["raw"]
        ratios = [a["per_second"] / b["per_second"] for a, b in zip(engine_, raw_)]
        rows.append([title, page.spread(column(engine_, "per_second"), ""), page.spread(column(raw_, "per_second"), ""),
                     page.spread(ratios, "")] + [page.spread(column(side, name), "") for name in ("postgres_us", "client_us")
                                                 for side in (engine_, raw_)])
        if aim:
            page.target(f"queue, {title} ÷ raw SQL", ratios=ratios, at_least=aim)
    page.table(heads, rows)
    batched = column(data["kinds"]["enqueue_batch"]["engine"], "per_second")
    page.target("queue, batched enqueue, rows/s", ratios=batched, at_least=BATCHED_ROWS)
    pickup = data["pickup"]
    page.table(["from COMMIT to the handler's first line", "p50 ms", "p99 ms"],
               [[title, page.spread([g["p50_ms"] for g in pickup[what]], ""), page.spread([g["p99_ms"] for g in pickup[what]], "")]
                for what, title in (("pickup", "idle"), ("pickup_loaded", "another tenant has 5,000 workflows waiting"))])
    page.target("queue, pickup idle p50", ratios=[g["p50_ms"] for g in pickup["pickup"]], at_most=0.8, unit="ms")
    page.target("queue, pickup idle p99", ratios=[g["p99_ms"] for g in pickup["pickup"]], at_most=5, unit="ms")
    beyond = [s - data["lease_s"] for s in data["recovery_s"]]
    page.text(f"Recovery: a process is killed (kill -9) at work; with a lease of {data['lease_s']:g} s the same call begins in "
              f"another process after {page.spread(data['recovery_s'], 's')}, counted from the kill; the lease began "
              "a little before it, so less than the lease is possible.")
    page.target("queue, recovery after kill -9 beyond the lease", ratios=beyond, at_most=0.5, unit="s")
