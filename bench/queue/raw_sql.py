"""What pgbench executes beside the engine, and the database both work on; see bench/sections/queue.py.

For each unit of work one statement (or so) that does what the engine's statements do to the same tables, without retries,
types or anybody deciding what to do next: the same rows and indexes, a step takes effect only under the claim's token (a
stale one inserts nothing), each unit of work is a commit of its own, and ids are in the order of time on both sides.
"""
import glob, os, pwd, shutil, subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = (sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1:] or [os.path.dirname(shutil.which("initdb") or "")])[0] + "/"
TICKS = os.sysconf("SC_CLK_TCK")
# In the order of time, as UUIDv7 is: microseconds, then random bits.
NEW_ID = ("encode(int8send((extract(epoch from clock_timestamp()) * 1000000)::bigint) "
          "|| int8send((random() * 9e18)::bigint), 'hex')::uuid")
ENQUEUE = """
insert into queue.run (id, kind, version, queue, priority, vt, state, input, created_at, ready_at)
    select {new_id}, '{kind}', 1, 0, 0, (extract(epoch from clock_timestamp()) * 1000000)::bigint, 0,
        '{{"number":0}}', clock_timestamp(), clock_timestamp() from generate_series(1, {rows})
    returning queue, priority, vt, id"""
CLAIM = """with s as materialized (select set_config('synchronous_commit', 'off', true)),
taken as (delete from queue.ready d where d.ctid = any (array(select r.ctid from queue.ready r where r.queue = 0
    order by r.queue, r.priority, r.vt, r.id limit {rows} for update of r skip locked)) returning d.id),
claimed as (update queue.run x set state = 1, attempt = x.attempt + 1, token = 1, owner = 1 from taken
    where x.id = taken.id returning x.id, x.kind, x.input)
select coalesce(array_agg(id), '{{}}') as ids, count(input) as n from claimed, s \\gset
"""
END = """with gone as (delete from queue.run r where r.id = any (:ids::uuid[]) and r.token = 1 returning r.*),
proof as (insert into queue.step (run, direction, seq, name, state, token, attempts)
    select g.id, 1, q, 's', 1, g.token, 1 from gone g, generate_series({first}, {last}) q)
insert into queue.history (id, tenant, kind, version, queue, priority, state, direction, step, attempt, crashes, token,
        lock_key, input, created_at)
    select g.id, g.tenant, g.kind, g.version, g.queue, g.priority, 4, g.direction, 1, 1, g.crashes, g.token, g.lock_key,
        g.input, g.created_at from gone g;
"""
STEP = """with u as (update queue.run r set step = step + 1, attempt = 1 where r.id = {id} and r.token = 1 returning *)
insert into queue.step (run, direction, seq, name, state, token, attempts)
    select id, 1, step - 1, 's', 1, token, 1 from u;
"""
ONE = "(:ids::uuid[])[1]"
DDL = ("create schema {s};", "create table {s}.a (id uuid primary key, name text not null);\n"
       "create table {s}.b (id uuid primary key, name text not null);",
       "grant usage on schema {s} to pg_monitor;\ngrant select, insert on {s}.a, {s}.b to pg_monitor;")
DDL = [text.format(s="raw_:place") for text in DDL]
CLAIM_QUOTED = CLAIM.format(rows=1).replace("coalesce(array_agg(id), '{}')", "quote_literal(coalesce(array_agg(id), '{}'))")
NUMBER = "\\set place random(1, 1000000000000000)\n"
# What: (pgbench script, clients, rows of one transaction, protocol: only the simple one puts numbers into names)
SQL = {
    "enqueue": ("with r as (" + ENQUEUE.format(new_id=NEW_ID, kind="bench.call", rows=1)
                + ") insert into queue.ready select * from r;", 64, 1, "prepared"),
    "enqueue_batch": ("with r as (" + ENQUEUE.format(new_id=NEW_ID, kind="bench.call", rows=5000)
                      + ") insert into queue.ready select * from r;", 2, 5000, "prepared"),
    "calls": (CLAIM.format(rows=256) + END.format(first=0, last=0), 2, 256, "prepared"),
    "singles": (CLAIM.format(rows=1) + END.format(first=0, last=0), 16, 1, "prepared"),
    "steps": (STEP.format(id="lpad(:client_id::text, 32, '0')::uuid"), 16, 1, "prepared"),
    "three": (CLAIM.format(rows=1) + 2 * STEP.format(id=ONE) + END.format(first=2, last=2), 16, 1, "prepared"),
    "provision": (NUMBER + CLAIM_QUOTED
                  + "".join(f"begin;\n{STEP.format(id=ONE)}{text}\ncommit;\n" for text in DDL[:2])
                  + f"begin;\n{END.format(first=2, last=2)}{DDL[2]}\ncommit;\n", 16, 1, "simple"),
    "provision_joined": (NUMBER + CLAIM_QUOTED + "begin;\n" + "\n".join(DDL) + "\n"
                         + END.format(first=0, last=2) + "commit;\n", 16, 1, "simple"),
    "joined": (CLAIM.format(rows=1) + END.format(first=0, last=2), 16, 1, "prepared"),
}
# The engine's workflow of each kind of work.
KIND = {"calls": "bench.call", "singles": "bench.single", "steps": "bench.steps", "three": "bench.three",
        "joined": "bench.joined", "provision": "bench.provision", "provision_joined": "bench.provision_joined"}
TABLES = "run, ready, timer, step, history, key_lock, idempotency, worker, cancellation, failed_attempt"


class database:
    def __init__(self, folder):
        self.folder = folder
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
        subprocess.run(self.user + [BIN + "initdb", "-D", folder + "/data", "-A", "trust", "-U", "postgres"],
                       check=True, stdout=subprocess.DEVNULL)
        with open(folder + "/data/postgresql.conf", "a") as f:
            f.write(f"listen_addresses=''\nunix_socket_directories='{folder}'\nmax_connections=200\n"
                    "shared_buffers=256MB\nmax_wal_size=4GB\n")
        self.control("start")
        prefix = "bench"
        for role in ("owner", "app", "worker"):
            self.ask(f"create role {prefix}_{role} login")
        self.ask(f"create schema queue authorization {prefix}_owner")
        text = "".join(open(f).read() for f in sorted(glob.glob(ROOT + "/src/migrations/control/*_queue_*.sql")))
        for role in ("owner", "app", "worker"):
            text = text.replace("{role:" + role + "}", f"{prefix}_{role}")
        self.ask(text, prefix + "_owner")
        self.ask(f"grant create on database postgres to {prefix}_worker")  # for provisioning's schemas

    def control(self, what):
        subprocess.run(self.user + [BIN + "pg_ctl", "-D", self.folder + "/data", "-l", self.folder + "/log", "-w", "-m",
                                    "fast", what], check=True, stdout=subprocess.DEVNULL)

    def ask(self, sql, user="postgres"):
        done = subprocess.run(["psql", "-qAtX", "-1", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", user,
                               "postgres"], input=sql, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return done.stdout.strip()

    def empty(self, rows=0, kind="bench.raw"):
        self.ask("truncate " + ", ".join("queue." + t.strip() for t in TABLES.split(",")))
        if rows:
            self.ask("with r as (" + ENQUEUE.format(new_id=NEW_ID, kind=kind, rows=rows)
                     + ") insert into queue.ready select * from r; analyze queue.run; analyze queue.ready")
        self.ask("checkpoint")

    def cpu(self):
        """CPU seconds of all its processes, those that have ended included."""
        def seconds(pid, first, last):
            with open(f"/proc/{pid}/stat") as f:
                return sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[first:last]) / TICKS
        with open(self.folder + "/data/postmaster.pid") as f:
            master = f.readline().strip()
        total = seconds(master, 11, 15)
        with open(f"/proc/{master}/task/{master}/children") as f:
            for pid in f.read().split():
                try:
                    total += seconds(pid, 11, 13)
                except OSError:
                    pass  # ended just now
        return total
