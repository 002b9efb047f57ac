-- The queue, second part: a claimed run on its way to history (QUEUE.md sections 6 and 7).

-- Advances a run, or raises: behind this statement nothing of a zombie commits. An UPDATE that touched no row
-- would be no error, and the effects pipelined behind it would commit.
-- With p_heed it also refuses to begin a step of a run that was cancelled or is overdue (IQ002).
-- The transaction may idle for p_idle_ms: a stopped process must not hold its row for longer than its lease.
create function queue.fence(p_run uuid, p_token bigint, p_direction smallint, p_step integer, p_next integer,
    p_idle_ms integer, p_heed boolean) returns void
language plpgsql
as $$
declare
    -- As an expression, which costs less than a statement.
    v_set text := set_config('idle_in_transaction_session_timeout', p_idle_ms::text, true);
    v_stop boolean;
begin
    update queue.run r
        set step = p_next, attempt = 1, begun = false,
            error_code = case when p_direction = 1 then null else r.error_code end,
            error_detail = case when p_direction = 1 then null else r.error_detail end,
            error_internal = case when p_direction = 1 then null else r.error_internal end,
            undo_error = null
        where r.id = p_run and r.token = p_token and r.direction = p_direction and r.step = p_step
        returning coalesce(r.deadline <= clock_timestamp(), false)
            or exists (select from queue.cancellation k where k.run = p_run) into v_stop;
    if not found then
        raise exception using errcode = 'IQ001',
            message = 'run ' || p_run || ' is not at step ' || p_step || ' of this claim';
    end if;
    if p_heed and v_stop then
        raise exception using errcode = 'IQ002', message = 'run ' || p_run || ' is to go no further';
    end if;
end
$$;

-- A step that has nothing else to do in its transaction: fence and proof in one statement, with its own lock_timeout.
create function queue.step_alone(p_run uuid, p_token bigint, p_step integer, p_heed boolean, p_lock_ms integer,
    p_name text, p_attempts integer, p_result text, p_compensation text) returns void
language plpgsql
as $$
declare
    v_set text := set_config('lock_timeout', p_lock_ms::text, true);
begin
    with moved as (
        update queue.run r
            set step = p_step + 1, attempt = 1, begun = false, error_code = null, error_detail = null,
                error_internal = null, undo_error = null
            where r.id = p_run and r.token = p_token and r.direction = 1 and r.step = p_step
            returning p_heed and (coalesce(r.deadline <= clock_timestamp(), false)
                or exists (select from queue.cancellation k where k.run = p_run)) as stop)
    insert into queue.step (run, direction, seq, name, state, token, attempts, result, compensation)
        select p_run, 1, p_step, p_name, 1, p_token, p_attempts, p_result, p_compensation
        from moved m where not m.stop;
    if not found then
        raise exception using errcode = 'IQ001', message = 'run ' || p_run || ' is not at step ' || p_step
            || ' of this claim, or is to go no further';
    end if;
end
$$;

-- The same for the last step of a run, which ends with it (as in queue.finish).
create function queue.end_alone(p_run uuid, p_token bigint, p_step integer, p_heed boolean, p_lock_ms integer,
    p_name text, p_attempts integer, p_result text, p_compensation text) returns void
language plpgsql
as $$
declare
    v_set text := set_config('lock_timeout', p_lock_ms::text, true);
    v_key text;
begin
    with gone as (
        delete from queue.run r
            where r.id = p_run and r.token = p_token and r.direction = 1 and r.step = p_step
            returning r.*, p_heed and (coalesce(r.deadline <= clock_timestamp(), false)
                or exists (select from queue.cancellation k where k.run = p_run)) as stop),
    proof as (
        insert into queue.step (run, direction, seq, name, state, token, attempts, result, compensation)
            select p_run, 1, p_step, p_name, 1, p_token, p_attempts, p_result, p_compensation
            from gone g where not g.stop)
    insert into queue.history (id, tenant, kind, version, queue, priority, state, direction, step, attempt,
            crashes, token, lock_key, input, created_at)
        select g.id, g.tenant, g.kind, g.version, g.queue, g.priority, 4, 1, p_step + 1, 1, g.crashes, g.token,
            g.lock_key, g.input, g.created_at
        from gone g where not g.stop
        returning lock_key into v_key;
    if not found then
        raise exception using errcode = 'IQ001', message = 'run ' || p_run || ' is not at step ' || p_step
            || ' of this claim, or is to go no further';
    end if;
    if v_key is not null then
        perform queue.release_key(v_key, p_run);
    end if;
end
$$;

-- Behind a fence and a batch of a step's work: the step is not done, and what it has done is on record.
create function queue.stay(p_run uuid, p_token bigint, p_direction smallint, p_step integer, p_seq integer,
    p_name text, p_attempts integer, p_result text, p_compensation text) returns void
language plpgsql
as $$
begin
    update queue.run r set step = p_step, begun = true where r.id = p_run and r.token = p_token;
    insert into queue.step (run, direction, seq, name, state, token, attempts, result, compensation)
        values (p_run, p_direction, p_seq, p_name, 0, p_token, p_attempts, p_result, p_compensation)
        on conflict (run, direction, seq) do update
            set token = excluded.token, attempts = excluded.attempts, result = excluded.result;
end
$$;

-- The intent of an outside step: committed before the call. A repeat leaves the first intent.
create function queue.intend(p_run uuid, p_token bigint, p_direction smallint, p_step integer, p_seq integer,
    p_name text, p_attempts integer, p_compensation text, p_heed boolean) returns void
language plpgsql
as $$
declare
    v_stop boolean;
begin
    select coalesce(r.deadline <= clock_timestamp(), false)
            or exists (select from queue.cancellation k where k.run = p_run)
        into v_stop
        from queue.run r where r.id = p_run and r.token = p_token and r.direction = p_direction
            and r.step = p_step for no key update;
    if not found then
        raise exception using errcode = 'IQ001',
            message = 'run ' || p_run || ' is not at step ' || p_step || ' of this claim';
    end if;
    if p_heed and v_stop then
        raise exception using errcode = 'IQ002', message = 'run ' || p_run || ' is to go no further';
    end if;
    insert into queue.step (run, direction, seq, name, state, token, attempts, compensation)
        values (p_run, p_direction, p_seq, p_name, 0, p_token, p_attempts, p_compensation)
        on conflict (run, direction, seq) do update set token = excluded.token, attempts = excluded.attempts;
end
$$;

-- A successor of the definition a run was begun with takes it over, for good: an old process in a rolling deploy
-- must not find steps it does not know.
create function queue.adopt(p_run uuid, p_token bigint, p_version integer) returns void
language plpgsql
as $$
begin
    update queue.run r set version = p_version where r.id = p_run and r.token = p_token;
    if not found then
        raise exception using errcode = 'IQ001', message = 'run ' || p_run || ' is not of this claim';
    end if;
end
$$;

-- A failed attempt, for operators. Sent behind the fenced statement that says what comes of it.
create function queue.note_failure(p_run uuid, p_direction smallint, p_seq integer, p_step text, p_attempt integer,
    p_code text, p_detail text, p_internal text) returns void
language plpgsql
as $$
begin
    insert into queue.failed_attempt (run, direction, seq, step, attempt, code, detail, internal)
        values (p_run, p_direction, p_seq, p_step, p_attempt, p_code, p_detail, left(p_internal, 4096));
    if p_attempt % 50 = 0 then
        -- A step that is tried for ever.
        delete from queue.failed_attempt f where f.run = p_run and f.n <= (
            select x.n from queue.failed_attempt x where x.run = p_run order by x.n desc offset 100 limit 1);
    end if;
end
$$;

-- A failed try: the run waits for its next one; with p_heed no longer than its deadline.
create function queue.retry_later(p_run uuid, p_token bigint, p_direction smallint, p_step integer,
    p_delay interval, p_code text, p_detail text, p_internal text, p_heed boolean) returns void
language plpgsql
as $$
declare
    v_wake timestamptz := clock_timestamp() + p_delay;
begin
    if p_heed and exists (select from queue.cancellation k where k.run = p_run) then
        v_wake := clock_timestamp();
    end if;
    update queue.run r
        set state = 2, token = null, owner = null,
            ready_at = least(v_wake, case when p_heed then r.deadline end),
            error_code = case when p_direction = 1 then p_code else r.error_code end,
            error_detail = case when p_direction = 1 then p_detail else r.error_detail end,
            error_internal = case when p_direction = 1 then p_internal else r.error_internal end,
            undo_error = case when p_direction = -1 then p_code || ': ' || p_internal end
        where r.id = p_run and r.token = p_token and r.direction = p_direction and r.step = p_step
        returning r.ready_at into v_wake;
    if not found then
        raise exception using errcode = 'IQ001',
            message = 'run ' || p_run || ' is not at step ' || p_step || ' of this claim';
    end if;
    insert into queue.timer (wake_at, id) values (v_wake, p_run);
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

-- Set aside for an operator, at a step, at on_finish (which would have ended it in state p_end), or as a whole. The
-- run keeps its lock key.
create function queue.hold(p_run uuid, p_token bigint, p_why text, p_step text, p_end smallint) returns void
language plpgsql
as $$
begin
    update queue.run r
        set state = 3, token = null, owner = null, undo_error = p_why, held_step = p_step, held_end = p_end
        where r.id = p_run and r.token = p_token;
    if not found then
        raise exception using errcode = 'IQ001', message = 'run ' || p_run || ' is not of this claim';
    end if;
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
grant execute on all functions in schema queue to {role:worker};
