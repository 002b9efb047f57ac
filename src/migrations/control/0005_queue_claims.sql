-- The queue, first half: from enqueue to claim, who owns what, and upkeep (QUEUE.md sections 3 to 5 and 8).
-- Enqueueing is open to the login of the API, which has no right on the tables; the rest runs with the rights of
-- the worker's login.

-- Answers the id of the run that does the work: p_id, or that of an older run with the same key.
-- p_lead: microseconds that the run's virtual time lies behind its turn, so that a tenant with many runs leaves
-- room between them for others (null: none).
create function queue.enqueue(
    p_id uuid, p_kind text, p_version integer, p_queue smallint, p_priority smallint, p_lead bigint,
    p_tenant uuid, p_key text, p_key_lifetime interval, p_lock_key text, p_run_at timestamptz,
    p_delay interval, p_deadline timestamptz, p_input text) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    -- Whose deadline passes before its time comes is then found overdue.
    v_ready timestamptz := greatest(least(coalesce(p_run_at, v_now + p_delay), p_deadline), v_now);
    v_vt bigint := (extract(epoch from v_ready) * 1000000)::bigint + coalesce(p_lead, 0);
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
    insert into queue.run (id, tenant, kind, version, queue, priority, vt, state, deadline, lock_key, input,
            created_at, ready_at)
        values (p_id, p_tenant, p_kind, p_version, p_queue, p_priority, v_vt,
                case when v_ready > v_now then 2 else 0 end, p_deadline, p_lock_key, p_input, v_now, v_ready);
    if v_ready > v_now then
        insert into queue.timer (wake_at, id) values (v_ready, p_id);
    else
        insert into queue.ready (queue, priority, vt, id) values (p_queue, p_priority, v_vt, p_id);
    end if;
    return p_id;
end
$$;

-- The same for many, in the order of p_ids. An array that is null stands for nulls only. A key that comes twice
-- makes one run, the first.
create function queue.enqueue_batch(
    p_ids uuid[], p_kinds text[], p_versions integer[], p_queues smallint[], p_priorities smallint[],
    p_leads bigint[], p_tenants uuid[], p_keys text[], p_key_lifetimes interval[], p_lock_keys text[],
    p_run_ats timestamptz[], p_delays interval[], p_deadlines timestamptz[], p_inputs text[]) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_base bigint := (extract(epoch from v_now) * 1000000)::bigint;
    v_new uuid[];
begin
    if p_keys is not null then
        -- In one order of keys, so that two batches do not wait for each other in a circle.
        with fresh as (
            insert into queue.idempotency as i (tenant, kind, key, run, expires)
                select distinct on (1, 2, 3) coalesce(a.tenant, '00000000-0000-0000-0000-000000000000'), a.kind,
                    a.key, a.id, v_now + a.lifetime
                from unnest(p_ids, p_kinds, p_tenants, p_keys, p_key_lifetimes) with ordinality
                    a (id, kind, tenant, key, lifetime, n)
                where a.key is not null order by 1, 2, 3, a.n
                on conflict (tenant, kind, key) do update set run = excluded.run, expires = excluded.expires
                    where i.expires <= v_now
                returning i.run)
        select array_agg(f.run) into v_new from fresh f;
        v_new := v_new || array(select a.id from unnest(p_ids, p_keys) a (id, key) where a.key is null);
    end if;
    with made as (
        insert into queue.run (id, tenant, kind, version, queue, priority, vt, state, deadline, lock_key, input,
                created_at, ready_at)
            select a.id, a.tenant, a.kind, a.version, a.queue, a.priority,
                v_base + coalesce(a.lead, 0) + case when a.at > v_now
                    then (extract(epoch from a.at - v_now) * 1000000)::bigint else 0 end,
                case when a.at > v_now then 2 else 0 end, a.deadline, a.lock_key, a.input, v_now,
                greatest(a.at, v_now)
            from (select u.*, least(coalesce(u.run_at, v_now + u.delay, v_now), u.deadline) as at
                  from unnest(p_ids, p_kinds, p_versions, p_queues, p_priorities, p_leads, p_tenants, p_lock_keys,
                              p_run_ats, p_delays, p_deadlines, p_inputs)
                      u (id, kind, version, queue, priority, lead, tenant, lock_key, run_at, delay, deadline, input)
                 ) a
            -- Not "= any", which may walk the array for each.
            where p_keys is null or a.id in (select unnest(v_new))
            returning id, queue, priority, vt, state, ready_at),
    late as (
        insert into queue.timer (wake_at, id) select m.ready_at, m.id from made m where m.state = 2)
    insert into queue.ready (queue, priority, vt, id)
        select m.queue, m.priority, m.vt, m.id from made m where m.state = 0;
    if p_keys is null then
        return p_ids;
    end if;
    -- A statement of its own: it sees what the first one waited for.
    return array(
        select coalesce(i.run, a.id)
        from unnest(p_ids, p_kinds, p_tenants, p_keys) with ordinality a (id, kind, tenant, key, n)
            left join queue.idempotency i on i.kind = a.kind and i.key = a.key
                and i.tenant = coalesce(a.tenant, '00000000-0000-0000-0000-000000000000')
        order by a.n);
end
$$;

-- Puts a claimed run aside without costing it the attempt: its key is taken.
create function queue.take_key(p_key text, p_run uuid) returns boolean
language plpgsql
as $$
declare
    v_lock record;
    v_found boolean;
    v_wake timestamptz;
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
    elsif v_found then
        -- A very long line. Who cannot join it comes back in a while and then stands behind what came meanwhile:
        -- thousands that look again and again would be all that anybody claims.
        v_wake := clock_timestamp() + interval '5 s' * (1 + 2 * random());
        update queue.run r set vt = greatest(r.vt, (extract(epoch from v_wake) * 1000000)::bigint) where r.id = p_run;
        insert into queue.timer (wake_at, id) values (v_wake, p_run);
    else
        -- Changing hands at this moment: look again soon.
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
            update queue.run r set state = 0, ready_at = clock_timestamp() where r.id = v_next and r.state = 2
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

-- Takes up to p_limit runs in index order, from (p_priority, p_vt) on, for a living worker. The commit may be
-- asynchronous: a claim lost in a crash leaves its runs ready, and the token it would have had is nobody's.
create function queue.claim(p_worker bigint, p_token bigint, p_queue smallint, p_limit integer,
    p_priority smallint default '-32768', p_vt bigint default '-9223372036854775808')
returns table (
    id uuid, tenant uuid, kind text, version integer, direction smallint, step integer, attempt integer,
    crashes integer, max_attempts integer, overdue boolean, cancel_requested boolean, input text,
    begun boolean, error_code text, error_detail text, error_internal text, keyed boolean, priority smallint,
    vt bigint, waited_us bigint)
language plpgsql
-- Kept, because planning for this call's values costs more than a small call; and a plan from when the tables
-- were empty must not read all of queue.run once they are not.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
    perform set_config('synchronous_commit', 'off', true);
    return query
        with taken as (
            -- As an array of places: the planner would join the other way.
            delete from queue.ready d where d.ctid = any (array(
                select r.ctid from queue.ready r
                where r.queue = p_queue and (r.priority, r.vt) >= (p_priority, p_vt)
                    and exists (select from queue.worker w where w.id = p_worker and not w.dead)
                    and not exists (select from queue.paused p where p.queue = p_queue)
                order by r.queue, r.priority, r.vt, r.id limit p_limit for update of r skip locked))
            returning d.id),
        claimed as (
            update queue.run x
                set state = 1, attempt = x.attempt + 1, token = p_token, owner = p_worker
                from taken where x.id = taken.id
                returning x.*)
        select c.id, c.tenant, c.kind, c.version, c.direction, c.step, c.attempt, c.crashes, c.max_attempts,
            coalesce(c.deadline <= clock_timestamp(), false),
            exists (select from queue.cancellation k where k.run = c.id), c.input, c.begun, c.error_code,
            c.error_detail, c.error_internal, c.lock_key is not null, c.priority, c.vt,
            (extract(epoch from clock_timestamp() - c.ready_at) * 1000000)::bigint
        -- One order of keys for all claimers: no deadlock between them. The offset keeps take_key behind the sort.
        from (select * from claimed order by lock_key nulls first, priority, vt offset 0) c
        where c.lock_key is null or queue.take_key(c.lock_key, c.id);
end
$$;

-- Moves what is due to ready; answers the milliseconds until the next, null when there is none.
create function queue.fire_timers(p_limit integer) returns bigint
language plpgsql
-- Kept, because planning for this call's values costs more than a small call; and a plan from when the tables
-- were empty must not read all of queue.run once they are not.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off
as $$
begin
    with due as (
        delete from queue.timer d where d.ctid = any (array(
            select t.ctid from queue.timer t where t.wake_at <= clock_timestamp()
            order by t.wake_at, t.id limit p_limit for update skip locked))
        returning d.id),
    woken as (
        update queue.run r set state = 0, ready_at = clock_timestamp() from due where r.id = due.id and r.state = 2
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
    -- Of runs that have ended, cancelled or in spite of it.
    delete from queue.cancellation k where not exists (select from queue.run r where r.id = k.run);
    return v_count;
end
$$;

-- The end of runs of one step without database effects, many at once: from run to history, with the witness of
-- the step. Answers those that were the caller's claims; of the others nothing is touched.
create function queue.complete_batch(p_ids uuid[], p_tokens bigint[], p_names text[], p_attempts integer[],
    p_results text[]) returns uuid[]
language plpgsql
-- Kept, because planning for this call's values costs more than a small call; and a plan from when the tables
-- were empty must not read all of queue.run once they are not.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_done uuid[];
    v_keys text[];
    v_holders uuid[];
begin
    with gone as (
        delete from queue.run r
            using unnest(p_ids, p_tokens, p_names, p_attempts, p_results) w (id, token, name, attempts, result)
            where r.id = w.id and r.token = w.token
            returning r.*, w.name as step_name, w.attempts as step_attempts, w.result as step_result),
    proof as (
        insert into queue.step (run, direction, seq, name, state, token, attempts, result)
            select g.id, 1, 0, g.step_name, 1, g.token, g.step_attempts, g.step_result from gone g
            on conflict (run, direction, seq) do update
                set state = 1, token = excluded.token, attempts = excluded.attempts, result = excluded.result),
    past as (
        insert into queue.history (id, tenant, kind, version, queue, priority, state, direction, step, attempt,
                crashes, token, lock_key, input, created_at)
            select g.id, g.tenant, g.kind, g.version, g.queue, g.priority, 4, g.direction, 1, 1, g.crashes,
                g.token, g.lock_key, g.input, g.created_at
            from gone g)
    select array_agg(g.id), array_agg(g.lock_key order by g.lock_key) filter (where g.lock_key is not null),
            array_agg(g.id order by g.lock_key) filter (where g.lock_key is not null)
        into v_done, v_keys, v_holders from gone g;
    for i in 1 .. coalesce(cardinality(v_keys), 0) loop
        perform queue.release_key(v_keys[i], v_holders[i]);
    end loop;
    return coalesce(v_done, '{}');
end
$$;

-- When a schedule is due next after p_now; "every" keeps its distance from p_due.
create function queue.next_due(p_schedule text, p_due timestamptz, p_now timestamptz) returns timestamptz
language sql stable
as $$
    select case when p_schedule like 'every %' then
        p_due + (floor(extract(epoch from p_now - p_due) / extract(epoch from substr(p_schedule, 7)::interval)) + 1)
            ::float8 * substr(p_schedule, 7)::interval
    else (
        select case when d.at > p_now then d.at else d.at + interval '1 day' end
        from (select (date_trunc('day', p_now at time zone 'UTC') + substr(p_schedule, 7)::interval)
                         at time zone 'UTC') d (at))
    end
$$;

create function queue.declare_recurring(p_name text, p_schedule text, p_kind text, p_version integer,
    p_queue smallint, p_priority smallint, p_lock_key text, p_input text, p_may_overlap boolean) returns void
language sql
as $$
    insert into queue.recurring as r (name, schedule, kind, version, queue, priority, lock_key, input, may_overlap,
            next_due)
        values (p_name, p_schedule, p_kind, p_version, p_queue, p_priority, p_lock_key, p_input, p_may_overlap,
                queue.next_due(p_schedule, clock_timestamp(), clock_timestamp()))
        on conflict (name) do update
            set schedule = excluded.schedule, kind = excluded.kind, version = excluded.version,
                queue = excluded.queue, priority = excluded.priority, lock_key = excluded.lock_key,
                input = excluded.input, may_overlap = excluded.may_overlap,
                next_due = case when r.schedule = excluded.schedule then r.next_due else excluded.next_due end
$$;

-- Enqueues what is due of these, with the ids given, and moves it to its next time, which collapses what was
-- missed into one. Answers how many, and the milliseconds until the next is due.
create function queue.fire_recurring(p_names text[], p_ids uuid[], out fired integer, out next_ms bigint)
language plpgsql
as $$
declare
    d record;
    v_now timestamptz := clock_timestamp();
    v_skip boolean;
begin
    fired := 0;
    -- The database's clock was set back: nothing is further away than its schedule says.
    update queue.recurring r set next_due = queue.next_due(r.schedule, v_now, v_now)
        where r.name = any (p_names) and r.next_due > queue.next_due(r.schedule, v_now, v_now);
    for d in
        select r.*, a.id from unnest(p_names, p_ids) a (name, id) join queue.recurring r on r.name = a.name
        where r.next_due <= v_now order by r.name
    loop
        v_skip := not d.may_overlap and exists (
            select from queue.run x where x.id = d.last_run and x.state <> 3);
        -- Another process that saw the same waits here for our commit, and then finds it fired.
        update queue.recurring r
            set last_fired = v_now, next_due = queue.next_due(r.schedule, r.next_due, v_now),
                last_run = case when v_skip then r.last_run else d.id end
            where r.name = d.name and r.last_fired is not distinct from d.last_fired;
        if found and not v_skip then
            perform queue.enqueue(d.id, d.kind, d.version, d.queue, d.priority, null, null, null, null, d.lock_key,
                                  null, interval '0', null, d.input);
            fired := fired + 1;
        end if;
    end loop;
    select ceil(extract(epoch from min(r.next_due) - clock_timestamp()) * 1000)::bigint into next_ms
        from queue.recurring r where r.name = any (p_names);
end
$$;

-- Removes at most p_limit rows of each kind that nobody needs any more. Answers the most it removed of one kind;
-- null: another process is at it.
create function queue.clean_up(p_retention interval, p_limit integer) returns integer
language plpgsql
as $$
declare
    v_runs integer;
    v_keys integer;
begin
    if not pg_try_advisory_xact_lock(29676314724950531) then
        return null;
    end if;
    with old as (
        delete from queue.history d where d.ctid = any (array(
            select h.ctid from queue.history h where h.finished_at < clock_timestamp() - p_retention
            order by h.finished_at limit p_limit))
        returning d.id),
    steps as (
        delete from queue.step s using old where s.run = old.id),
    failures as (
        delete from queue.failed_attempt f using old where f.run = old.id)
    select count(*) into v_runs from old;
    delete from queue.idempotency d where d.ctid = any (array(
        select i.ctid from queue.idempotency i where i.expires <= clock_timestamp()
        order by i.expires limit p_limit));
    get diagnostics v_keys = row_count;
    delete from queue.worker w where w.dead and w.started_at < clock_timestamp() - interval '1 day';
    return greatest(v_runs, v_keys);
end
$$;

create function queue.pause(p_queue smallint) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into queue.paused (queue) values (p_queue) on conflict (queue) do nothing
$$;

create function queue.unpause(p_queue smallint) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from queue.paused p where p.queue = p_queue
$$;

revoke all on all functions in schema queue from public;
grant execute on function queue.enqueue(uuid, text, integer, smallint, smallint, bigint, uuid, text, interval,
    text, timestamptz, interval, timestamptz, text), queue.enqueue_batch(uuid[], text[], integer[], smallint[],
    smallint[], bigint[], uuid[], text[], interval[], text[], timestamptz[], interval[], timestamptz[], text[]),
    queue.pause(smallint), queue.unpause(smallint) to {role:app};
grant execute on all functions in schema queue to {role:worker};
