-- Sessions opened, refreshed and ended, each by one call. Rows are locked in one order: account, membership, session.

-- That the token's session goes on, whatever state its tenant is in: what the routes of sessions and passwords ask,
-- which work in every state. assert_session is this, and a tenant that is ready.
create function control.assert_signed_in(p_session uuid, p_version integer, p_user uuid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from control.session s
        join control.account a on a.id = s.user_id
        left join control.membership m on m.tenant_id = s.tenant_id and m.user_id = s.user_id
        where s.id = p_session and s.user_id = p_user and s.version = p_version and s.ended_at is null
            and s.expires_at > now() and a.active and a.released_at is null
            and (s.tenant_id is null or m.status = 'active');
    if not found then
        raise exception using errcode = 'IS001', message = 'session ' || p_session || ' is over';
    end if;
end
$$;

-- Who may work in a tenant, or come back to restore it. (plpgsql here and below: what is called once a request must
-- not be planned once a request, as a function in SQL is.)
create function control.lets_in(p_tenant_status text, p_role text) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return p_tenant_status = 'ready' or (p_tenant_status = 'pending_deletion' and p_role = 'owner');
end
$$;

-- A session that goes on, as its tokens tell of it; no row for a person, an operator or a member who is none any more.
create function control.session_facts(p_session uuid)
returns table (user_id uuid, version integer, tenant_id uuid, slug text, name text, status text, cell integer,
               role text, refresh_left interval, session_left interval)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select s.user_id, s.version, t.id, t.slug, t.name, t.status, t.cell, m.role,
               least(s.refresh_expires_at, s.expires_at) - now(), s.expires_at - now()
        from control.session s
        join control.account a on a.id = s.user_id and a.active and a.released_at is null
        left join control.tenant t on t.id = s.tenant_id and t.status <> 'gone'
        left join control.membership m on m.tenant_id = t.id and m.user_id = s.user_id and m.status = 'active'
        where s.id = p_session and s.ended_at is null and s.expires_at > now()
            and case when s.tenant_id is null then a.operator else m.role is not null end;
end
$$;

-- A person holds a hundred sessions at most, or whoever has stolen one could make so many that nobody ends them in
-- time. Those whose refresh tokens were used longest ago give way. Behind the account's lock; how many ended.
create function control.make_room_for_session(p_user uuid) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    with beyond as (select s.id from control.session s
                    where s.user_id = p_user and s.operator_user_id is null and s.ended_at is null
                        and s.expires_at > now() and s.refresh_expires_at > now()
                    order by s.last_used_at desc, s.id desc offset 99),
         locked as (select s.id from control.session s join beyond using (id) where s.ended_at is null
                    order by s.id for no key update of s)
    update control.session s set ended_at = now(), end_reason = 'too_many' from locked where s.id = locked.id;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

-- After a right password. What was read before it was checked still holds, or nothing is made: the locks make
-- whoever closes the account, changes the password or removes the member come before, and be seen here, or after,
-- and find the session. How many others ended for it; null when it was not made.
create function control.open_session(
    p_session uuid, p_user uuid, p_password_hash text, p_tenant uuid, p_role text, p_status text,
    p_refresh_hash bytea, p_refresh_life interval, p_life interval, p_ip text, p_user_agent text,
    p_audit uuid, p_request_id text) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ended integer;
begin
    perform from control.account a
        where a.id = p_user and a.active and a.released_at is null and a.password_hash = p_password_hash
        for no key update;
    if not found then
        return null;
    end if;
    if p_tenant is not null then
        perform from control.membership m
            where m.tenant_id = p_tenant and m.user_id = p_user and m.status = 'active' and m.role = p_role
            for share;
        if not found then
            return null;
        end if;
        perform from control.tenant t where t.id = p_tenant and t.status = p_status;
        if not found then
            return null;
        end if;
    end if;
    v_ended := control.make_room_for_session(p_user);
    insert into control.session (id, user_id, tenant_id, refresh_hash, refresh_expires_at, expires_at, ip, user_agent)
        values (p_session, p_user, p_tenant, p_refresh_hash, now() + least(p_refresh_life, p_life), now() + p_life,
                p_ip, p_user_agent);
    insert into control.audit_log (id, tenant_id, user_id, action, entity_type, entity_id, changes, ip, request_id)
        values (p_audit, p_tenant, p_user, 'user.login', 'user', p_user::text,
                case when v_ended > 0 then jsonb_build_object('sessions_ended', v_ended) end, p_ip, p_request_id);
    return v_ended;
end
$$;

-- From one tenant to another of the same person, without a password: so the new session lives no longer than the one
-- it came from. No row: not a member, as for a slug nobody has. A tenant that does not let its member in is told by
-- its state, and nothing is made.
create function control.switch_session(
    p_from uuid, p_version integer, p_user uuid, p_slug text, p_session uuid, p_refresh_hash bytea,
    p_refresh_life interval, p_ip text, p_user_agent text, p_audit uuid, p_request_id text)
returns table (tenant_id uuid, slug text, name text, status text, cell integer, role text, active boolean,
               ended integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v record;
    v_ended integer := 0;
begin
    perform from control.account a where a.id = p_user for no key update;
    perform control.assert_signed_in(p_from, p_version, p_user);
    -- Of two tenants with one slug, one has failed and given it back: the other counts.
    select t.id, t.slug, t.name, t.status, t.cell, m.role, m.status = 'active' as active into v
        from control.tenant t
        join control.membership m on m.tenant_id = t.id and m.user_id = p_user and m.status <> 'removed'
        where t.slug = p_slug and t.status <> 'gone'
        order by t.status = 'failed' or t.restore_status is not distinct from 'failed', t.created_at desc limit 1;
    if not found then
        return;
    end if;
    if v.active and control.lets_in(v.status, v.role) then
        -- As it is under the lock: a member who was removed meanwhile is one who was removed before.
        select m.role into v.role from control.membership m
            where m.tenant_id = v.id and m.user_id = p_user and m.status = 'active' for share;
        if not found then
            return;
        end if;
        v_ended := control.make_room_for_session(p_user);
        insert into control.session
            (id, user_id, tenant_id, refresh_hash, refresh_expires_at, expires_at, ip, user_agent)
            select p_session, p_user, v.id, p_refresh_hash, least(now() + p_refresh_life, s.expires_at), s.expires_at,
                   p_ip, p_user_agent
            from control.session s where s.id = p_from;
        insert into control.audit_log (id, tenant_id, user_id, action, entity_type, entity_id, changes, ip, request_id)
            values (p_audit, v.id, p_user, 'user.login', 'user', p_user::text,
                    jsonb_build_object('switched_from', p_from)
                        || case when v_ended > 0 then jsonb_build_object('sessions_ended', v_ended) else '{}' end,
                    p_ip, p_request_id);
    end if;
    return query select v.id, v.slug, v.name, v.status, v.cell, v.role, v.active, v_ended;
end
$$;

-- One refresh token for the next. The caller has checked that the token is a genuine one of this session (it carries
-- a proof), and has derived its successor, which is the same whoever derives it and how often.
--   refreshed  the current token: its successor takes its place, whoever else holds it
--   again      its parent, within p_window of that, and the successor has not been used: the same successor again.
--              However late for the request that did it, which looks again when its COMMIT was not answered
--   refused    the tenant lets nobody in now; nothing changes, and the token is good for later
--   reused     any other token of this session: somebody holds one that was given to somebody else. It ends
--   over       there is no such session any more, or no such member
create function control.refresh_session(
    p_session uuid, p_hash bytea, p_successor bytea, p_refresh_life interval, p_window interval,
    p_ip text, p_user_agent text, p_audit uuid, p_request_id text)
returns table (outcome text, user_id uuid, version integer, tenant_id uuid, slug text, name text, status text,
               cell integer, role text, refresh_left interval, session_left interval)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_session control.session;
    v_outcome text;
    v_facts record;
begin
    select s.* into v_session from control.session s where s.id = p_session for no key update;
    if not found or v_session.ended_at is not null or v_session.expires_at <= now() then
        v_outcome := 'over';
    elsif v_session.refresh_hash = p_hash then
        v_outcome := case when v_session.refresh_expires_at > now() then 'refreshed' else 'over' end;
    elsif v_session.parent_hash = p_hash
            and (v_session.rotated_at > now() - p_window or v_session.rotated_by = p_audit) then
        v_outcome := 'again';
    else
        v_outcome := 'reused';
        perform control.note_reuse(v_session, p_audit, p_ip, p_request_id);
    end if;
    if v_outcome in ('refreshed', 'again') then
        select f.* into v_facts from control.session_facts(p_session) f;
        if not found then
            v_outcome := 'over';
        elsif v_facts.tenant_id is not null and not control.lets_in(v_facts.status, v_facts.role) then
            v_outcome := 'refused';
        elsif v_outcome = 'refreshed' then
            v_facts.refresh_left := least(p_refresh_life, v_facts.session_left);
            update control.session s
                set parent_hash = s.refresh_hash, refresh_hash = p_successor, rotated_at = now(), rotated_by = p_audit,
                    refresh_expires_at = now() + v_facts.refresh_left,
                    last_used_at = now(), ip = p_ip, user_agent = p_user_agent
                where s.id = p_session;
        end if;
        if v_outcome <> 'over' then
            return query select v_outcome, v_facts.user_id, v_facts.version, v_facts.tenant_id, v_facts.slug,
                v_facts.name, v_facts.status, v_facts.cell, v_facts.role, v_facts.refresh_left, v_facts.session_left;
            return;
        end if;
    end if;
    outcome := v_outcome;
    return next;
end
$$;

-- A token that was spent long ago came back: the session ends, once, and the log has it.
create function control.note_reuse(s control.session, p_audit uuid, p_ip text, p_request_id text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform control.end_session(s.id, 'token_reuse');
    insert into control.audit_log
        (id, tenant_id, user_id, action, entity_type, entity_id, ip, request_id, status)
        values (p_audit, s.tenant_id, s.user_id, 'token.reuse', 'session', s.id::text, p_ip, p_request_id, 'failure');
end
$$;

-- Whoever shows a genuine token of the session, spent or not, ends it: a client that never got the answer to its
-- refresh must be able to leave. A spent one but for the latest is also what a thief's looks like, and is noted so.
create function control.log_out(p_session uuid, p_hash bytea, p_audit uuid, p_ip text, p_request_id text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_session control.session;
begin
    select s.* into v_session from control.session s where s.id = p_session and s.ended_at is null for no key update;
    if not found then
        return false;
    end if;
    if p_hash = v_session.refresh_hash or p_hash = v_session.parent_hash then
        perform control.end_session(p_session, 'logout');
        insert into control.audit_log (id, tenant_id, user_id, action, entity_type, entity_id, ip, request_id)
            values (p_audit, v_session.tenant_id, v_session.user_id, 'user.logout', 'session', p_session::text, p_ip,
                    p_request_id);
    else
        perform control.note_reuse(v_session, p_audit, p_ip, p_request_id);
    end if;
    return true;
end
$$;

-- Everywhere. The account's lock: a session that is being opened meanwhile is either seen and ended, or waits and
-- finds that the one it comes from is over.
create function control.log_out_everywhere(
    p_session uuid, p_version integer, p_user uuid, p_tenant uuid, p_audit uuid, p_ip text, p_request_id text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    perform from control.account a where a.id = p_user for no key update;
    perform control.assert_signed_in(p_session, p_version, p_user);
    v_count := control.end_user_sessions(p_user, null, 'logout_all');
    insert into control.audit_log (id, tenant_id, user_id, action, entity_type, entity_id, changes, ip, request_id)
        values (p_audit, p_tenant, p_user, 'user.logout', 'user', p_user::text,
                jsonb_build_object('sessions', v_count), p_ip, p_request_id);
    return v_count;
end
$$;

-- One of the caller's own. An operator's session under the person's name is not the person's own.
create function control.end_own_session(
    p_session uuid, p_version integer, p_user uuid, p_which uuid, p_audit uuid, p_ip text, p_request_id text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant uuid;
begin
    perform control.assert_signed_in(p_session, p_version, p_user);
    select s.tenant_id into v_tenant from control.session s
        where s.id = p_which and s.user_id = p_user and s.operator_user_id is null
            and s.ended_at is null and s.expires_at > now()
        for no key update;
    if not found then
        return false;
    end if;
    perform control.end_session(p_which, 'ended_by_user');
    insert into control.audit_log (id, tenant_id, user_id, action, entity_type, entity_id, ip, request_id)
        values (p_audit, v_tenant, p_user, 'user.logout', 'session', p_which::text, p_ip, p_request_id);
    return true;
end
$$;

revoke all on function control.assert_signed_in(uuid, integer, uuid),
    control.lets_in(text, text), control.session_facts(uuid), control.make_room_for_session(uuid),
    control.open_session(uuid, uuid, text, uuid, text, text, bytea, interval, interval, text, text, uuid, text),
    control.switch_session(uuid, integer, uuid, text, uuid, bytea, interval, text, text, uuid, text),
    control.refresh_session(uuid, bytea, bytea, interval, interval, text, text, uuid, text),
    control.note_reuse(control.session, uuid, text, text), control.log_out(uuid, bytea, uuid, text, text),
    control.log_out_everywhere(uuid, integer, uuid, uuid, uuid, text, text),
    control.end_own_session(uuid, integer, uuid, uuid, uuid, text, text) from public;
grant execute on function control.assert_signed_in(uuid, integer, uuid),
    control.lets_in(text, text), control.session_facts(uuid), control.make_room_for_session(uuid),
    control.open_session(uuid, uuid, text, uuid, text, text, bytea, interval, interval, text, text, uuid, text),
    control.switch_session(uuid, integer, uuid, text, uuid, bytea, interval, text, text, uuid, text),
    control.refresh_session(uuid, bytea, bytea, interval, interval, text, text, uuid, text),
    control.note_reuse(control.session, uuid, text, text), control.log_out(uuid, bytea, uuid, text, text),
    control.log_out_everywhere(uuid, integer, uuid, uuid, uuid, text, text),
    control.end_own_session(uuid, integer, uuid, uuid, uuid, text, text) to {role:app};
