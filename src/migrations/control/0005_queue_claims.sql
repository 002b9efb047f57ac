-- The queue, first half: from enqueue to claim, and who owns what (QUEUE.md sections 3 to 5). Enqueueing is open to
-- the login of the API, which has no right on the tables; the rest runs with the rights of the worker's login.

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
    -- Whose deadline passes before its time comes is then found overdue.
    v_wake timestamptz := least(coalesce(p_run_at, v_now + p_delay), p_deadline);
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
    begun boolean, error_code text, error_detail text, error_internal text, waited_us bigint)
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
        select claimed.*, exists (select from queue.cancellation k where k.run = claimed.id) as cancelled
        from claimed order by lock_key nulls first, priority, vt
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
        cancel_requested := c.cancelled;
        input := c.input;
        begun := c.begun;
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
    text, timestamptz, interval, timestamptz, text) to {role:app};
grant execute on all functions in schema queue to {role:worker};
