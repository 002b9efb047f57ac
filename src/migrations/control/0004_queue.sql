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
    cancel_requested boolean not null default false,
    deadline timestamptz,
    lock_key text,
    input text not null,
    context text,
    -- Last failure going forward: what the run failed of, once direction is -1. Code and detail are safe for
    -- clients.
    error_code text,
    error_detail text,
    error_internal text,
    -- Last failure of an undo.
    undo_error text,
    created_at timestamptz not null default clock_timestamp()
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

-- The witness of what was done. A database step's row is inserted in the transaction of its effects and never
-- changed; an outside step's row is its intent first.
create table queue.step (
    run uuid not null,
    direction smallint not null,
    seq integer not null,
    name text not null,
    -- 0 intent (the outside call may or may not have happened), 1 done, 2 failed finally
    state smallint not null check (state between 0 and 2),
    token bigint not null,
    attempts integer not null,
    result text check (length(result) <= 65536),
    compensation text,
    compensation_args text,
    at timestamptz not null default clock_timestamp(),
    primary key (run, direction, seq)
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

create table queue.recurring (
    name text primary key,
    schedule text not null,
    kind text not null,
    version integer not null default 1,
    input text not null default '{}',
    last_fired timestamptz,
    next_due timestamptz not null
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
    context text,
    error_code text,
    error_detail text,
    error_internal text,
    created_at timestamptz not null,
    finished_at timestamptz not null default clock_timestamp()
);

-- Enqueueing and looking are open to the login of the API, which has no right on the tables.

-- Answers the id of the run that does the work: p_id, or that of an older run with the same key.
create function queue.enqueue(
    p_id uuid, p_kind text, p_version integer, p_queue smallint, p_priority smallint, p_vt bigint,
    p_tenant uuid, p_key text, p_key_lifetime interval, p_lock_key text, p_run_at timestamptz,
    p_delay interval, p_deadline timestamptz, p_input text) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_wake timestamptz := coalesce(p_run_at, v_now + p_delay);
    v_vt bigint := coalesce(p_vt, (extract(epoch from v_now) * 1000000)::bigint);
    v_run uuid;
begin
    if p_key is not null then
        -- Waits for a transaction that is enqueueing the same key at this moment.
        insert into queue.idempotency as i (tenant, kind, key, run, expires)
            values (coalesce(p_tenant, '00000000-0000-0000-0000-000000000000'), p_kind, p_key, p_id,
                    v_now + p_key_lifetime)
            on conflict (tenant, kind, key) do update set run = excluded.run, expires = excluded.expires
                where i.expires <= v_now;
        if not found then
            select i.run into strict v_run from queue.idempotency i
                where i.tenant = coalesce(p_tenant, '00000000-0000-0000-0000-000000000000')
                    and i.kind = p_kind and i.key = p_key;
            return v_run;
        end if;
    end if;
    insert into queue.run (id, tenant, kind, version, queue, priority, vt, state, deadline, lock_key, input)
        values (p_id, p_tenant, p_kind, p_version, p_queue, p_priority, v_vt,
                case when v_wake > v_now then 2 else 0 end, p_deadline, p_lock_key, p_input);
    if v_wake > v_now then
        insert into queue.timer (wake_at, id) values (v_wake, p_id);
    else
        insert into queue.ready (queue, priority, vt, id) values (p_queue, p_priority, v_vt, p_id);
    end if;
    return p_id;
end
$$;

-- A run, alive or finished, with what its steps left behind, in one row; no row: there is no such run.
create function queue.status(p_run uuid)
returns table (
    id uuid, kind text, version integer, tenant uuid, state smallint, direction smallint, step integer,
    attempt integer, error_code text, error_detail text, error_internal text, undo_error text,
    created_at timestamptz, finished_at timestamptz, step_directions smallint[], step_seqs integer[],
    step_names text[], step_states smallint[], step_attempts integer[])
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    with one as (
        select r.id, r.kind, r.version, r.tenant, r.state, r.direction, r.step, r.attempt, r.error_code,
            r.error_detail, r.error_internal, r.undo_error, r.created_at, null::timestamptz as finished_at
        from queue.run r where r.id = p_run
        union all
        select h.id, h.kind, h.version, h.tenant, h.state, h.direction, h.step, h.attempt, h.error_code,
            h.error_detail, h.error_internal, null, h.created_at, h.finished_at
        from queue.history h where h.id = p_run)
    select one.*, s.directions, s.seqs, s.names, s.states, s.attempts
    from one cross join lateral (
        select coalesce(array_agg(s.direction), '{}') as directions, coalesce(array_agg(s.seq), '{}') as seqs,
            coalesce(array_agg(s.name), '{}') as names, coalesce(array_agg(s.state), '{}') as states,
            coalesce(array_agg(s.attempts), '{}') as attempts
        from queue.step s where s.run = p_run) s
$$;

-- What follows runs with the rights of the worker's login, which has the tables.

-- Puts a claimed run aside without costing it the attempt: its key is taken.
create function queue.take_key(p_key text, p_run uuid) returns boolean
language plpgsql
as $$
declare
    v_lock record;
    v_found boolean;
begin
    -- SKIP LOCKED, and a look before the insert: a claim never waits for a transaction that is about to end a
    -- run, which may be a stopped process's.
    select k.run, k.waiters into v_lock from queue.key_lock k where k.key = p_key for update skip locked;
    v_found := found;
    if v_found and v_lock.run = p_run then
        return true;
    end if;
    if not v_found and not exists (select from queue.key_lock k where k.key = p_key) then
        insert into queue.key_lock (key, run) values (p_key, p_run) on conflict (key) do nothing;
        if found then
            return true;
        end if;
    end if;
    update queue.run r set state = 2, attempt = r.attempt - 1, token = null, owner = null where r.id = p_run;
    if v_found and cardinality(v_lock.waiters) < 1000 then
        if p_run <> all (v_lock.waiters) then
            update queue.key_lock k set waiters = k.waiters || p_run where k.key = p_key;
        end if;
    else
        -- Changing hands at this moment, or a very long line: look again soon.
        insert into queue.timer (wake_at, id) values (clock_timestamp() + interval '100 ms', p_run);
    end if;
    return false;
end
$$;

create function queue.release_key(p_key text, p_run uuid) returns void
language plpgsql
as $$
declare
    v_waiters uuid[];
    v_next uuid;
begin
    select k.waiters into v_waiters from queue.key_lock k where k.key = p_key and k.run = p_run for update;
    if not found then
        return;
    end if;
    while cardinality(v_waiters) > 0 loop
        v_next := v_waiters[1];
        v_waiters := v_waiters[2:];
        with woken as (
            update queue.run r set state = 0 where r.id = v_next and r.state = 2
                returning r.queue, r.priority, r.vt, r.id)
        insert into queue.ready (queue, priority, vt, id) select w.queue, w.priority, w.vt, w.id from woken w;
        if found then
            update queue.key_lock k set run = v_next, waiters = v_waiters where k.key = p_key;
            return;
        end if;
    end loop;
    delete from queue.key_lock k where k.key = p_key;
end
$$;

-- Takes up to p_limit runs in index order for a living worker. The commit may be asynchronous: a claim lost
-- in a crash leaves its runs ready, and the token it would have had is nobody's.
create function queue.claim(p_worker bigint, p_token bigint, p_queue smallint, p_limit integer)
returns table (
    id uuid, tenant uuid, kind text, version integer, direction smallint, step integer, attempt integer,
    crashes integer, max_attempts integer, overdue boolean, cancel_requested boolean, input text,
    context text, error_code text, error_detail text, error_internal text, waited_us bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    c record;
begin
    perform set_config('synchronous_commit', 'off', true);
    for c in
        with taken as (
            -- As an array of places: the planner would join the other way.
            delete from queue.ready d where d.ctid = any (array(
                select r.ctid from queue.ready r
                where r.queue = p_queue
                    and exists (select from queue.worker w where w.id = p_worker and not w.dead)
                order by r.queue, r.priority, r.vt, r.id limit p_limit for update of r skip locked))
            returning d.id),
        claimed as (
            update queue.run x
                set state = 1, attempt = x.attempt + 1, token = p_token, owner = p_worker
                from taken where x.id = taken.id
                returning x.*)
        -- One order of keys for all claimers: no deadlock between them.
        select * from claimed order by lock_key nulls first, priority, vt
    loop
        if c.lock_key is not null and not queue.take_key(c.lock_key, c.id) then
            continue;
        end if;
        id := c.id;
        tenant := c.tenant;
        kind := c.kind;
        version := c.version;
        direction := c.direction;
        step := c.step;
        attempt := c.attempt;
        crashes := c.crashes;
        max_attempts := c.max_attempts;
        overdue := coalesce(c.deadline <= clock_timestamp(), false);
        cancel_requested := c.cancel_requested;
        input := c.input;
        context := c.context;
        error_code := c.error_code;
        error_detail := c.error_detail;
        error_internal := c.error_internal;
        waited_us := (extract(epoch from clock_timestamp() - c.created_at) * 1000000)::bigint;
        return next;
    end loop;
end
$$;

-- Moves what is due to ready; answers the milliseconds until the next, null when there is none.
create function queue.fire_timers(p_limit integer) returns bigint
language plpgsql
as $$
begin
    with due as (
        delete from queue.timer d where d.ctid = any (array(
            select t.ctid from queue.timer t where t.wake_at <= clock_timestamp()
            order by t.wake_at, t.id limit p_limit for update skip locked))
        returning d.id),
    woken as (
        update queue.run r set state = 0 from due where r.id = due.id and r.state = 2
            returning r.queue, r.priority, r.vt, r.id)
    insert into queue.ready (queue, priority, vt, id) select w.queue, w.priority, w.vt, w.id from woken w;
    return (select ceil(extract(epoch from min(t.wake_at) - clock_timestamp()) * 1000)::bigint
            from queue.timer t);
end
$$;

-- Advances a run, or raises: behind this statement nothing of a zombie commits. An UPDATE that touched no row
-- would be no error, and the effects pipelined behind it would commit.
-- The transaction may idle for p_idle_ms: a stopped process must not hold its row for longer than its lease.
create function queue.fence(p_run uuid, p_token bigint, p_direction smallint, p_step integer, p_next integer,
    p_idle_ms integer) returns void
language plpgsql
as $$
begin
    perform set_config('idle_in_transaction_session_timeout', p_idle_ms::text, true);
    update queue.run r
        set step = p_next, attempt = 1,
            error_code = case when p_direction = 1 then null else r.error_code end,
            error_detail = case when p_direction = 1 then null else r.error_detail end,
            error_internal = case when p_direction = 1 then null else r.error_internal end,
            undo_error = null
        where r.id = p_run and r.token = p_token and r.direction = p_direction and r.step = p_step;
    if not found then
        raise exception using errcode = 'IQ001',
            message = 'run ' || p_run || ' is not at step ' || p_step || ' of this claim';
    end if;
end
$$;

-- The intent of an outside step: committed before the call. A repeat leaves the first intent.
create function queue.intend(p_run uuid, p_token bigint, p_direction smallint, p_step integer, p_seq integer,
    p_name text, p_attempts integer, p_compensation text) returns void
language plpgsql
as $$
begin
    perform from queue.run r where r.id = p_run and r.token = p_token and r.direction = p_direction
        and r.step = p_step for no key update;
    if not found then
        raise exception using errcode = 'IQ001',
            message = 'run ' || p_run || ' is not at step ' || p_step || ' of this claim';
    end if;
    insert into queue.step (run, direction, seq, name, state, token, attempts, compensation)
        values (p_run, p_direction, p_seq, p_name, 0, p_token, p_attempts, p_compensation)
        on conflict (run, direction, seq) do update set token = excluded.token, attempts = excluded.attempts;
end
$$;

-- A failed try: the run waits for its next one.
create function queue.retry_later(p_run uuid, p_token bigint, p_direction smallint, p_step integer,
    p_delay interval, p_code text, p_detail text, p_internal text) returns void
language plpgsql
as $$
begin
    update queue.run r
        set state = 2, token = null, owner = null,
            error_code = case when p_direction = 1 then p_code else r.error_code end,
            error_detail = case when p_direction = 1 then p_detail else r.error_detail end,
            error_internal = case when p_direction = 1 then p_internal else r.error_internal end,
            undo_error = case when p_direction = -1 then p_code || ': ' || p_internal end
        where r.id = p_run and r.token = p_token and r.direction = p_direction and r.step = p_step;
    if not found then
        raise exception using errcode = 'IQ001',
            message = 'run ' || p_run || ' is not at step ' || p_step || ' of this claim';
    end if;
    insert into queue.timer (wake_at, id) values (clock_timestamp() + p_delay, p_run);
end
$$;

-- From forward to backward: step p_seq has failed finally, and p_undo steps are to be looked at for undoing.
create function queue.turn_back(p_run uuid, p_token bigint, p_step integer, p_undo integer, p_seq integer,
    p_name text, p_attempts integer, p_code text, p_detail text, p_internal text) returns void
language plpgsql
as $$
begin
    update queue.run r
        set direction = -1, step = p_undo, attempt = 1, error_code = p_code, error_detail = p_detail,
            error_internal = p_internal
        where r.id = p_run and r.token = p_token and r.direction = 1 and r.step = p_step;
    if not found then
        raise exception using errcode = 'IQ001',
            message = 'run ' || p_run || ' is not at step ' || p_step || ' of this claim';
    end if;
    insert into queue.step (run, direction, seq, name, state, token, attempts)
        values (p_run, 1, p_seq, p_name, 2, p_token, p_attempts)
        on conflict (run, direction, seq) do update set state = 2, attempts = excluded.attempts;
end
$$;

-- Set aside for an operator. The run keeps its lock key.
create function queue.hold(p_run uuid, p_token bigint, p_why text) returns void
language plpgsql
as $$
begin
    update queue.run r set state = 3, token = null, owner = null, undo_error = p_why
        where r.id = p_run and r.token = p_token;
    if not found then
        raise exception using errcode = 'IQ001', message = 'run ' || p_run || ' is not of this claim';
    end if;
end
$$;

-- An operator's answer to held: try again from where it stopped.
create function queue.resume(p_run uuid) returns boolean
language plpgsql
as $$
begin
    with freed as (
        update queue.run r set state = 0, attempt = 0, crashes = 0 where r.id = p_run and r.state = 3
            returning r.queue, r.priority, r.vt, r.id)
    insert into queue.ready (queue, priority, vt, id) select f.queue, f.priority, f.vt, f.id from freed f;
    return found;
end
$$;

-- The end: from run to history, key released.
create function queue.finish(p_run uuid, p_token bigint, p_direction smallint, p_step integer, p_state smallint,
    p_code text, p_detail text, p_internal text) returns void
language plpgsql
as $$
declare
    v_key text;
begin
    with gone as (
        delete from queue.run r
            where r.id = p_run and r.token = p_token and r.direction = p_direction and r.step = p_step
            returning r.*)
    insert into queue.history (id, tenant, kind, version, queue, priority, state, direction, step, attempt,
            crashes, token, lock_key, input, context, error_code, error_detail, error_internal, created_at)
        select g.id, g.tenant, g.kind, g.version, g.queue, g.priority, p_state, g.direction, g.step, g.attempt,
            g.crashes, g.token, g.lock_key, g.input, g.context, p_code, p_detail, p_internal, g.created_at
        from gone g
        returning lock_key into v_key;
    if not found then
        raise exception using errcode = 'IQ001',
            message = 'run ' || p_run || ' is not at step ' || p_step || ' of this claim';
    end if;
    if v_key is not null then
        perform queue.release_key(v_key, p_run);
    end if;
end
$$;

-- Gives a claim back unused, at once or after a delay: the attempt is not counted. Answers how many were ours.
create function queue.give_back(p_run uuid, p_token bigint, p_delay interval) returns integer
language plpgsql
as $$
begin
    if p_delay > interval '0' then
        with freed as (
            update queue.run r set state = 2, attempt = greatest(r.attempt - 1, 0), token = null, owner = null
                where r.id = p_run and r.token = p_token returning r.id)
        insert into queue.timer (wake_at, id) select clock_timestamp() + p_delay, f.id from freed f;
    else
        with freed as (
            update queue.run r set state = 0, attempt = greatest(r.attempt - 1, 0), token = null, owner = null
                where r.id = p_run and r.token = p_token
                returning r.queue, r.priority, r.vt, r.id)
        insert into queue.ready (queue, priority, vt, id) select f.queue, f.priority, f.vt, f.id from freed f;
    end if;
    return case when found then 1 else 0 end;
end
$$;

-- A worker that has not moved since its beat was p_beat is dead, and its runs are ready again. -1: it lives (or
-- is dead already). Null: whatever its beat is; for the worker itself.
-- Runs with an open transaction are skipped, so that a stopped process delays nobody else's recovery: sweep()
-- takes them when that transaction has ended.
create function queue.bury(p_worker bigint, p_beat bigint) returns integer
language plpgsql
as $$
declare
    v_count integer;
begin
    update queue.worker w set dead = true where w.id = p_worker and w.beat = coalesce(p_beat, w.beat) and not w.dead;
    if not found then
        return -1;
    end if;
    with freed as (
        update queue.run r set state = 0, token = null, owner = null, crashes = r.crashes + 1
            where r.id in (select x.id from queue.run x where x.owner = p_worker and x.state = 1
                           for update skip locked)
            returning r.queue, r.priority, r.vt, r.id)
    insert into queue.ready (queue, priority, vt, id) select f.queue, f.priority, f.vt, f.id from freed f;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

-- A claimed run that its living owner knows nothing of: the answer to the claim was lost, or its task died.
create function queue.abandon(p_run uuid, p_token bigint) returns void
language plpgsql
as $$
begin
    with freed as (
        update queue.run r set state = 0, token = null, owner = null, crashes = r.crashes + 1
            where r.id = p_run and r.token = p_token
            returning r.queue, r.priority, r.vt, r.id)
    insert into queue.ready (queue, priority, vt, id) select f.queue, f.priority, f.vt, f.id from freed f;
end
$$;

-- Runs whose owner is no living worker: a claim that crossed its worker's burial. Null: another process is
-- sweeping.
create function queue.sweep() returns integer
language plpgsql
as $$
declare
    v_count integer;
begin
    if not pg_try_advisory_xact_lock(29676314724950530) then
        return null;
    end if;
    with freed as (
        update queue.run r set state = 0, token = null, owner = null, crashes = r.crashes + 1
            where r.id in (
                select x.id from queue.run x
                where x.state = 1
                    and not exists (select from queue.worker w where w.id = x.owner and not w.dead)
                for update of x skip locked)
            returning r.queue, r.priority, r.vt, r.id)
    insert into queue.ready (queue, priority, vt, id) select f.queue, f.priority, f.vt, f.id from freed f;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

revoke all on all functions in schema queue from public;
grant execute on function queue.enqueue(uuid, text, integer, smallint, smallint, bigint, uuid, text, interval,
    text, timestamptz, interval, timestamptz, text), queue.status(uuid) to {role:app}, {role:worker};
grant execute on all functions in schema queue to {role:worker};
grant select, insert, update, delete on queue.run, queue.ready, queue.timer, queue.step, queue.idempotency,
    queue.key_lock, queue.worker, queue.recurring, queue.history to {role:worker};
grant usage on sequence queue.worker_id to {role:worker};
