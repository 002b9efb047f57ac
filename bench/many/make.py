"""Tenants, many: through the API, as people come, or in bulk by the same SQL functions, where only their number matters."""
import concurrent.futures, os, sys, threading, time

from .cluster import PASSWORD, client

BATCH = 50
PEOPLE_AT_ONCE = 16


class progress:
    """count, rate and time left, on one line of a terminal or a line every few seconds elsewhere."""

    def __init__(self, what, total, say=None):
        self.what, self.total, self.done = what, total, 0
        self.begun = self.last = time.monotonic()
        self.guard = threading.Lock()
        self.say = say or self.print

    def print(self, text):
        end = "" if sys.stderr.isatty() and self.done < self.total else "\n"
        print(("\r" if sys.stderr.isatty() else "") + text, end=end, file=sys.stderr, flush=True)

    def add(self, count=1):
        with self.guard:
            self.done += count
            now = time.monotonic()
            if self.done < self.total and now - self.last < (0.5 if sys.stderr.isatty() else 5):
                return
            self.last = now
            rate = self.done / max(now - self.begun, 1e-6)
            left = (self.total - self.done) / rate
            self.say(f"{self.what}: {self.done:,} of {self.total:,}, {rate:.0f}/s, {left:.0f} s left")

    def seconds(self):
        return time.monotonic() - self.begun


def slug_of(number):
    return f"bench-{number}"


def person(number):
    slug = slug_of(number)
    return {"email": f"{slug}@example.org", "password": PASSWORD, "tenant_slug": slug}


def at_once(port, numbers, work, shown):
    """`work(client, number)` for each, over so many connections; the results in the order of the numbers."""
    own = threading.local()

    def one(number):
        if not hasattr(own, "client"):
            own.client = client(port)
        try:
            return work(own.client, number)
        finally:
            shown.add()

    with concurrent.futures.ThreadPoolExecutor(PEOPLE_AT_ONCE) as pool:
        return list(pool.map(one, numbers))


def register(http, number):
    """Seconds from the 202 to ready, as a client that waits sees them; waits for it."""
    slug = slug_of(number)
    made = http.call("POST", "/api/v1/auth/register", {
        "email": f"{slug}@example.org", "password": PASSWORD, "full_name": "Bench", "tenant_name": slug,
        "tenant_slug": slug})
    begun = time.perf_counter()
    status = http.call("GET", made["status_url"] + "?wait=30")
    if status["status"] != "ready":
        raise RuntimeError(f"{slug}: {status}")
    return time.perf_counter() - begun


def by_api(cluster, numbers, say=None):
    """Registrations, each waited for until its tenant is ready. Seconds, and each one's time from the 202 to ready."""
    shown = progress("registered through the API", len(numbers), say)
    waited = at_once(cluster.dev.port, numbers, register, shown)
    return shown.seconds(), waited


# What registering and provisioning write, but for audit, capability and run; the tenant's own part is the service's function.
BULK = """begin; set local synchronous_commit = off;
create temporary table fresh on commit drop as
    select n, gen_random_uuid() as tenant, gen_random_uuid() as account from generate_series({first}, {last}) n;
insert into control.account (id, email, email_canonical, full_name, password_hash)
    select f.account, 'bench-' || n || '@example.org', 'bench-' || n || '@example.org', 'Bench', a.password_hash
    from fresh f, control.account a where a.email_canonical = 'bench-0@example.org' and a.released_at is null;
insert into control.tenant (id, slug, name, cell) select tenant, 'bench-' || n, 'bench-' || n, n % {cells} from fresh;
insert into control.membership (tenant_id, user_id, role, status) select tenant, account, 'owner', 'active' from fresh;
select count(provision.create_tenant(tenant, n % {cells})) from fresh;
update control.tenant set status = 'ready' where id in (select tenant from fresh);
commit;
"""


def in_bulk(cluster, numbers, say=None, cells=16):
    """By SQL, {BATCH} a transaction. Number 0 must have registered: the others have its password. Seconds."""
    shown = progress("made in bulk", len(numbers), say)
    for at in range(0, len(numbers), BATCH):
        some = numbers[at:at + BATCH]
        cluster.sql(BULK.format(first=some[0], last=some[-1], cells=cells))
        shown.add(len(some))
    return shown.seconds()


def next_number(cluster):
    return int(cluster.sql(r"select coalesce(max(substr(slug, 7)::integer) + 1, 0) from control.tenant"
                           r" where slug ~ '^bench-\d+$'"))


def fill(cluster, count, how, say=None):
    """Makes what is missing to `count`; seconds that the bigger part took, and how many those were."""
    have = next_number(cluster)
    numbers = list(range(have, count))
    if not numbers:
        return 0.0, 0
    if how == "api":
        return by_api(cluster, numbers, say)[0], len(numbers)
    if have == 0:
        by_api(cluster, [0], lambda _: None)
        numbers = numbers[1:]
    seconds = in_bulk(cluster, numbers, say) if numbers else 0.0
    cluster.sql("analyze control.tenant, control.account, control.membership")
    return seconds, len(numbers)


def tokens(port, numbers, say=None):
    """An access token of each tenant's owner, in the order of the numbers."""
    def login(http, number):
        return http.call("POST", "/api/v1/auth/login", person(number))["access_token"]

    return at_once(port, numbers, login, progress("logged in", len(numbers), say))


def projects(port, those, say=None):
    """A project in every tenant, with the tokens of `those`; their ids."""
    def one(http, token):
        have = http.call("GET", "/api/v1/projects", token=token)["items"]
        if have:
            return have[0]["id"]
        return http.call("POST", "/api/v1/projects", {"name": "Measured", "description": "a row"}, token)["id"]

    return at_once(port, those, one, progress("projects made", len(those), say))


def folder_size(folder):
    """(bytes, files)."""
    size = files = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(path, name)).st_blocks * 512
                files += 1
            except OSError:
                pass
    return size, files
