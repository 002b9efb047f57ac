-- The durable queue (QUEUE.md section 2). Hot tables are narrow and only inserted into and deleted from; wide rows
-- have no index on a column that changes. Applied as the owner's login; the schema is made by bootstrap.

grant usage on schema queue to {role:app}, {role:worker};

-- Live instances. Its primary key is its only index: every change of a claimed run goes by id and token.
create table queue.run (
    id uuid primary key,
    tenant uuid,
    kind text not null,
    version integer not null,
    queue smallint not null default 0,
    priority smallint not null default 0,
    vt bigint not null,
    -- 0 ready, 1 running, 2 waiting (for a time or a key), 3 held (for an operator)
    state smallint not null check (state between 0 and 3),
    -- Forward, `step` is the number of steps done; backward, of steps still to be undone.
    direction smallint not null default 1 check (direction in (1, -1)),
    step integer not null default 0 check (step >= 0),
    -- Tries of the present step that were begun; counted at the claim, so that a process killer counts too.
    attempt integer not null default 0,
    crashes integer not null default 0,
    -- 0: what the workflow's definition says
    max_attempts integer not null default 0,
    -- Made by the claimer from 64 random bits: who holds it owns the run. Never a counter, so that a claim
    -- that was lost in a crash cannot be confused with a later one.
    token bigint,
    owner bigint,
    deadline timestamptz,
    lock_key text,
    input text not null,
    -- Something of the present step may have happened although it is not done: batches of database_step::again(),
    -- the intent of an outside step.
    begun boolean not null default false,
    -- When held: the step (or on_finish) that waits for an operator, null when it is the whole run; and, for
    -- on_finish, the state the run would have ended in.
    held_step text,
    held_end smallint,
    -- Last failure going forward: what the run failed of, once direction is -1. Code and detail are safe for
    -- clients.
    error_code text,
    error_detail text,
    error_internal text,
    -- Last failure of an undo.
    undo_error text,
    created_at timestamptz not null default clock_timestamp(),
    -- When it last became (or, while it waits for a time, becomes) ready.
    ready_at timestamptz not null default clock_timestamp()
) with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

create table queue.ready (
    queue smallint not null,
    priority smallint not null,
    vt bigint not null,
    id uuid not null,
    primary key (queue, priority, vt, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

create table queue.timer (
    wake_at timestamptz not null,
    id uuid not null,
    primary key (wake_at, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
-- For those who wake a run before its time.
create index timer_run on queue.timer (id);

-- Runs that shall be cancelled; read by the claim and by the fence of each step. A table of its own, because the
-- row in queue.run is locked for as long as a step's transaction is open. Removed with the run's end.
create table queue.cancellation (
    run uuid primary key,
    at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

-- The witness of what was done. A database step's row is inserted in the transaction of its effects and never
-- changed; an outside step's row is its intent first.
create table queue.step (
    run uuid not null,
    direction smallint not null,
    seq integer not null,
    name text not null,
    -- 0 intent (the outside call may or may not have happened; of a step in batches: some are done), 1 done,
    -- 2 failed finally, 3 skipped by an operator
    state smallint not null check (state between 0 and 3),
    token bigint not null,
    attempts integer not null,
    result text check (length(result) <= 65536),
    compensation text,
    compensation_args text,
    at timestamptz not null default clock_timestamp(),
    primary key (run, direction, seq)
);

-- Attempts that failed, written only then; at most the newest hundred or so of a run are kept. Removed together
-- with the run's history.
create table queue.failed_attempt (
    run uuid not null,
    n bigint generated always as identity,
    direction smallint not null,
    seq integer not null,
    step text not null,
    attempt integer not null,
    at timestamptz not null default clock_timestamp(),
    code text not null,
    detail text not null,
    internal text not null,
    primary key (run, n)
);

create table queue.idempotency (
    -- The nil UUID for runs of no tenant.
    tenant uuid not null,
    kind text not null,
    key text not null check (length(key) between 1 and 255),
    run uuid not null,
    expires timestamptz not null,
    primary key (tenant, kind, key)
);
create index on queue.idempotency (expires);

-- Held from a run's first claim to its end. Waiters in order of arrival; who finishes hands over.
create table queue.key_lock (
    key text primary key check (length(key) between 1 and 255),
    run uuid not null,
    waiters uuid[] not null default '{}'
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- One row per process and registration. Ids come from a sequence, never from a host name.
create sequence queue.worker_id;
create table queue.worker (
    id bigint primary key,
    boot_id uuid not null,
    label text not null,
    beat bigint not null default 0,
    dead boolean not null default false,
    started_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

-- Declared by the processes that know the kind; fired by one of them at a time.
create table queue.recurring (
    name text primary key,
    -- "every 300000 ms" or "daily 03:30"
    schedule text not null,
    kind text not null,
    version integer not null default 1,
    queue smallint not null default 0,
    priority smallint not null default 0,
    lock_key text,
    input text not null default '{}',
    may_overlap boolean not null default false,
    last_fired timestamptz,
    last_run uuid,
    next_due timestamptz not null
);

-- Queues from which nothing is claimed.
create table queue.paused (
    queue smallint primary key,
    since timestamptz not null default clock_timestamp()
);

-- Finished runs.
create table queue.history (
    id uuid primary key,
    tenant uuid,
    kind text not null,
    version integer not null,
    queue smallint not null,
    priority smallint not null,
    -- 4 done, 5 failed, 6 cancelled
    state smallint not null check (state between 4 and 6),
    direction smallint not null,
    step integer not null,
    attempt integer not null,
    crashes integer not null,
    token bigint not null,
    lock_key text,
    input text not null,
    error_code text,
    error_detail text,
    error_internal text,
    created_at timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    -- The run that an operator made to do this one's work again.
    retried_as uuid
);
-- For retention; its insertions are at the right edge.
create index on queue.history (finished_at);

grant select, insert, update, delete on queue.run, queue.ready, queue.timer, queue.cancellation, queue.step,
    queue.failed_attempt, queue.idempotency,
    queue.key_lock, queue.worker, queue.recurring, queue.paused, queue.history to {role:worker};
grant usage on sequence queue.worker_id to {role:worker};
