-- The queue, second half: a claimed run on its way to history (QUEUE.md sections 6 and 7), and what people may see
-- of it and do to it.

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
            crashes, token, lock_key, input, error_code, error_detail, error_internal, created_at)
        select g.id, g.tenant, g.kind, g.version, g.queue, g.priority, p_state, g.direction, g.step, g.attempt,
            g.crashes, g.token, g.lock_key, g.input, p_code, p_detail, p_internal, g.created_at
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

revoke all on all functions in schema queue from public;
grant execute on function queue.status(uuid) to {role:app};
grant execute on all functions in schema queue to {role:worker};
