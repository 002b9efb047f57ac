-- The queue, third part: what people see of runs and do to them.

-- A run, alive or finished, with what its steps left behind, in one row; no row: there is no such run.
create function queue.status(p_run uuid)
returns table (
    id uuid, kind text, version integer, tenant uuid, state smallint, direction smallint, step integer,
    attempt integer, crashes integer, lock_key text, error_code text, error_detail text, error_internal text,
    undo_error text, held_step text, created_at timestamptz, finished_at timestamptz, retried_as uuid,
    cancel_requested boolean, due timestamptz, step_directions smallint[], step_seqs integer[],
    step_names text[], step_states smallint[], step_attempts integer[], failed_directions smallint[],
    failed_steps text[], failed_attempts integer[], failed_at timestamptz[], failed_codes text[],
    failed_details text[], failed_internals text[])
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    with one as (
        select r.id, r.kind, r.version, r.tenant, r.state, r.direction, r.step, r.attempt, r.crashes, r.lock_key,
            r.error_code, r.error_detail, r.error_internal, r.undo_error, r.held_step, r.created_at,
            null::timestamptz as finished_at, null::uuid as retried_as
        from queue.run r where r.id = p_run
        union all
        select h.id, h.kind, h.version, h.tenant, h.state, h.direction, h.step, h.attempt, h.crashes, h.lock_key,
            h.error_code, h.error_detail, h.error_internal, null, null, h.created_at, h.finished_at, h.retried_as
        from queue.history h where h.id = p_run)
    select one.*, exists (select from queue.cancellation k where k.run = p_run),
        (select min(t.wake_at) from queue.timer t where t.id = p_run),
        s.directions, s.seqs, s.names, s.states, s.attempts,
        f.directions, f.steps, f.attempts, f.ats, f.codes, f.details, f.internals
    from one cross join lateral (
        select coalesce(array_agg(s.direction), '{}') as directions, coalesce(array_agg(s.seq), '{}') as seqs,
            coalesce(array_agg(s.name), '{}') as names, coalesce(array_agg(s.state), '{}') as states,
            coalesce(array_agg(s.attempts), '{}') as attempts
        from queue.step s where s.run = p_run) s
    cross join lateral (
        select coalesce(array_agg(f.direction order by f.n), '{}') as directions,
            coalesce(array_agg(f.step order by f.n), '{}') as steps,
            coalesce(array_agg(f.attempt order by f.n), '{}') as attempts,
            coalesce(array_agg(f.at order by f.n), '{}') as ats,
            coalesce(array_agg(f.code order by f.n), '{}') as codes,
            coalesce(array_agg(f.detail order by f.n), '{}') as details,
            coalesce(array_agg(f.internal order by f.n), '{}') as internals
        from (select x.* from queue.failed_attempt x where x.run = p_run order by x.n desc limit 100) f) f
$$;

-- Newest first, alive and finished. Planned with the values at hand: p_limit and what is null make all the
-- difference between a walk along the primary keys and a sort of everything.
create function queue.list_runs(p_kind text, p_state smallint, p_tenant uuid, p_before uuid, p_limit integer)
returns table (
    id uuid, kind text, version integer, tenant uuid, state smallint, direction smallint, step integer,
    attempt integer, crashes integer, lock_key text, error_code text, held_because text, created_at timestamptz,
    finished_at timestamptz, cancel_requested boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    return query
    select x.*, exists (select from queue.cancellation k where k.run = x.id)
    from (
        (select r.id, r.kind, r.version, r.tenant, r.state, r.direction, r.step, r.attempt, r.crashes, r.lock_key,
            r.error_code, case when r.state = 3 then r.undo_error end, r.created_at, null::timestamptz
        from queue.run r
        where coalesce(p_state <= 3, true) and (p_state is null or r.state = p_state)
            and (p_kind is null or r.kind = p_kind) and (p_tenant is null or r.tenant = p_tenant)
            and (p_before is null or r.id < p_before)
        order by r.id desc limit p_limit)
        union all
        (select h.id, h.kind, h.version, h.tenant, h.state, h.direction, h.step, h.attempt, h.crashes, h.lock_key,
            h.error_code, null, h.created_at, h.finished_at
        from queue.history h
        where coalesce(p_state > 3, true) and (p_state is null or h.state = p_state)
            and (p_kind is null or h.kind = p_kind) and (p_tenant is null or h.tenant = p_tenant)
            and (p_before is null or h.id < p_before)
        order by h.id desc limit p_limit)) x
    order by 1 desc limit p_limit;
end
$$;

-- What operators do. Each answers outcome (0 done, 1 not found, 2 not possible), the state found, the run that
-- goes on, and a sentence. None waits for a step's open transaction.

-- From waiting or held to ready; for functions that hold the row's lock.
create function queue.make_ready(p_run uuid, p_afresh boolean) returns void
language plpgsql
as $$
begin
    -- A timer that is locked is being fired: by somebody who waits for the run's row and will find it ready.
    delete from queue.timer t where t.ctid = any (array(
        select x.ctid from queue.timer x where x.id = p_run for update skip locked));
    with freed as (
        update queue.run r
            set state = 0, ready_at = clock_timestamp(), begun = true, held_step = null, held_end = null,
                attempt = case when p_afresh then 0 else r.attempt end,
                crashes = case when p_afresh then 0 else r.crashes end
            where r.id = p_run
            returning r.queue, r.priority, r.vt, r.id)
    insert into queue.ready (queue, priority, vt, id) select f.queue, f.priority, f.vt, f.id from freed f;
end
$$;

-- A held run goes to history as it is.
create function queue.end_held(p_run uuid, p_state smallint, p_code text, p_detail text, p_internal text)
returns void
language plpgsql
as $$
declare
    v_key text;
begin
    with gone as (delete from queue.run r where r.id = p_run and r.state = 3 returning r.*)
    insert into queue.history (id, tenant, kind, version, queue, priority, state, direction, step, attempt,
            crashes, token, lock_key, input, error_code, error_detail, error_internal, created_at)
        select g.id, g.tenant, g.kind, g.version, g.queue, g.priority, p_state, g.direction, g.step, g.attempt,
            g.crashes, 0, g.lock_key, g.input, p_code, p_detail, p_internal, g.created_at
        from gone g
        returning lock_key into v_key;
    if v_key is not null then
        perform queue.release_key(v_key, p_run);
    end if;
end
$$;

create function queue.retry_run(p_run uuid, p_fresh uuid)
returns table (outcome smallint, state smallint, run uuid, note text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    r queue.run;
    h queue.history;
    v_vt bigint := (extract(epoch from clock_timestamp()) * 1000000)::bigint;
begin
    run := p_run;
    outcome := 2;
    select x.* into r from queue.run x where x.id = p_run for update skip locked;
    if found then
        state := r.state;
        if r.state = 3 then
            perform queue.make_ready(p_run, true);
            outcome := 0;
            note := 'goes on where it was held, with all its attempts';
        elsif r.state <> 2 then
            note := 'is on its way already';
        elsif not exists (select from queue.timer t where t.id = p_run) then
            note := 'waits for its lock key';
        elsif r.attempt = 0 and not r.begun then
            note := 'has not been tried yet, it waits for its time';
        else
            perform queue.make_ready(p_run, false);
            outcome := 0;
            note := 'is tried again now';
        end if;
        return next;
        return;
    end if;
    if exists (select from queue.run x where x.id = p_run) then
        state := 1;
        note := 'is on its way already';
        return next;
        return;
    end if;
    select x.* into h from queue.history x where x.id = p_run for update;
    if not found then
        outcome := 1;
        note := 'there is no such run';
        return next;
        return;
    end if;
    state := h.state;
    if h.state = 4 then
        note := 'has ended well';
    elsif h.retried_as is not null then
        run := h.retried_as;
        note := 'was retried as run ' || h.retried_as;
    else
        insert into queue.run (id, tenant, kind, version, queue, priority, vt, state, lock_key, input)
            values (p_fresh, h.tenant, h.kind, h.version, h.queue, h.priority, v_vt, 0, h.lock_key, h.input);
        insert into queue.ready (queue, priority, vt, id) values (h.queue, h.priority, v_vt, p_fresh);
        update queue.history x set retried_as = p_fresh where x.id = p_run;
        outcome := 0;
        run := p_fresh;
        note := 'is done again as a new run';
    end if;
    return next;
end
$$;

create function queue.resume_run(p_run uuid)
returns table (outcome smallint, state smallint, run uuid, note text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    run := p_run;
    outcome := 1;
    note := 'there is no such run';
    select x.state into state from queue.run x where x.id = p_run;
    if not found then
        select x.state into state from queue.history x where x.id = p_run;
    end if;
    if not found then
        return next;
    elsif state <> 3 then
        outcome := 2;
        note := 'is not held';
        return next;
    else
        return query select * from queue.retry_run(p_run, null);
    end if;
end
$$;

create function queue.cancel_run(p_run uuid)
returns table (outcome smallint, state smallint, run uuid, note text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    r queue.run;
begin
    run := p_run;
    outcome := 2;
    select x.* into r from queue.run x where x.id = p_run;
    if not found then
        select x.state into state from queue.history x where x.id = p_run;
        outcome := case when found then 2 else 1 end;
        note := case when found then 'has ended' else 'there is no such run' end;
        return next;
        return;
    end if;
    state := r.state;
    if r.direction = -1 then
        note := case when r.state = 3 then 'is being undone, and held at that: retry or skip'
                     else 'is being undone already' end;
    elsif r.state = 3 and r.held_end is not null then
        note := 'has done all its steps and is held at its end: retry or skip';
    else
        -- Before the row is looked at under its lock: who holds that lock now reads the table at the next step.
        insert into queue.cancellation (run) values (p_run) on conflict do nothing;
        outcome := 0;
        note := 'is stopped before its next step';
        select x.* into r from queue.run x where x.id = p_run for update skip locked;
        if found and r.state = 2 then
            if exists (select from queue.timer t where t.id = p_run) then
                perform queue.make_ready(p_run, false);
            else
                note := 'is stopped when it gets its lock key';
            end if;
        elsif found and r.state = 3 and r.held_step is null then
            perform queue.end_held(p_run, 6::smallint, 'cancelled', 'Cancelled by an operator.',
                                   'nothing was undone: ' || r.undo_error);
            note := 'has ended as it was: nothing here can read its steps or its input';
        elsif found and r.state = 3 then
            perform queue.make_ready(p_run, true);
        end if;
    end if;
    return next;
end
$$;

create function queue.skip_step(p_run uuid)
returns table (outcome smallint, state smallint, run uuid, note text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    r queue.run;
    v_seq integer;
begin
    run := p_run;
    outcome := 2;
    select x.* into r from queue.run x where x.id = p_run for update skip locked;
    if not found then
        select x.state into state from queue.run x where x.id = p_run;
        if not found then
            select x.state into state from queue.history x where x.id = p_run;
        end if;
        outcome := case when found then 2 else 1 end;
        note := case when found then 'is not held' else 'there is no such run' end;
        return next;
        return;
    end if;
    state := r.state;
    if r.state <> 3 then
        note := 'is not held';
    elsif r.held_end is not null then
        perform queue.end_held(p_run, r.held_end, r.error_code, r.error_detail, 'ended without on_finish');
        outcome := 0;
        note := 'has ended without its on_finish';
    elsif r.held_step is null then
        note := 'is held as a whole: retry it when the reason is gone, or cancel it';
    else
        v_seq := r.step;
        if r.direction = -1 then
            select max(s.seq) into v_seq from queue.step s
                where s.run = p_run and s.direction = 1 and s.seq < r.step and s.compensation is not null;
        end if;
        insert into queue.step (run, direction, seq, name, state, token, attempts)
            values (p_run, r.direction, v_seq, r.held_step, 3, 0, r.attempt)
            on conflict (run, direction, seq) do update set state = 3;
        update queue.run x set step = case when r.direction = 1 then v_seq + 1 else v_seq end where x.id = p_run;
        perform queue.make_ready(p_run, true);
        outcome := 0;
        note := 'goes on behind ' || r.held_step;
    end if;
    return next;
end
$$;

revoke all on all functions in schema queue from public;
grant execute on function queue.status(uuid), queue.list_runs(text, smallint, uuid, uuid, integer),
    queue.retry_run(uuid, uuid), queue.resume_run(uuid), queue.cancel_run(uuid), queue.skip_step(uuid) to {role:app};
grant execute on all functions in schema queue to {role:worker};
