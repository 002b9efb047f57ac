-- Assumed identities: an operator acts as a member of a tenant, for 15 minutes, for a reason. The session is the
-- member's, names the operator, and has no refresh token.

alter table control.session
    add column assumed_for text check (length(assumed_for) between 1 and 500),
    add constraint session_assumed_whole check ((operator_user_id is null) = (assumed_for is null)),
    add constraint session_assumed_no_refresh check (operator_user_id is null
        or (refresh_hash is null and tenant_id is not null and operator_user_id <> user_id));
create index session_by_operator on control.session (operator_user_id)
    where operator_user_id is not null and ended_at is null;

-- The statement behind control.assert_operator(). Operator and member are held as they were read: one still an
-- operator, the other a member of a tenant that is ready, in this role, and no operator. IS006: not (any more).
create function control.assume_identity(
    p_session uuid, p_operator uuid, p_user uuid, p_tenant uuid, p_role text, p_reason text, p_lifetime interval,
    p_ip text, p_user_agent text, p_audit uuid, p_request_id text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_people integer := 0;
begin
    -- In the order in which everybody locks: tenant, account, membership.
    perform from control.tenant t where t.id = p_tenant and t.status = 'ready' for share;
    if found then
        with held as (select a.id from control.account a
                      where a.active and ((a.id = p_user and a.released_at is null and not a.operator)
                                          or (a.id = p_operator and a.operator))
                      order by a.id for share)
        select count(*) into v_people from held;
    end if;
    if v_people = 2 then
        perform from control.membership m
            where m.tenant_id = p_tenant and m.user_id = p_user and m.status = 'active' and m.role = p_role for share;
    end if;
    if v_people <> 2 or not found then
        raise exception using errcode = 'IS006', message = 'user ' || p_user || ' of tenant ' || p_tenant
            || ' is not what it was';
    end if;
    insert into control.session (id, user_id, tenant_id, operator_user_id, assumed_for, expires_at, ip, user_agent)
        values (p_session, p_user, p_tenant, p_operator, p_reason, now() + p_lifetime, p_ip, p_user_agent);
    insert into control.audit_log
        (id, tenant_id, user_id, operator_user_id, action, entity_type, entity_id, changes, ip, request_id)
        values (p_audit, p_tenant, p_user, p_operator, 'identity.assume', 'user', p_user::text,
                jsonb_build_object('reason', p_reason, 'session_id', p_session), p_ip, p_request_id);
end
$$;

-- False: it had ended already, and nothing is written.
create function control.end_assumed_identity(p_session uuid, p_audit uuid, p_ip text, p_request_id text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not control.end_session(p_session, 'identity_end') then
        return false;
    end if;
    insert into control.audit_log
        (id, tenant_id, user_id, operator_user_id, action, entity_type, entity_id, changes, ip, request_id)
        select p_audit, s.tenant_id, s.user_id, s.operator_user_id, 'identity.end', 'user', s.user_id::text,
               jsonb_build_object('session_id', s.id), p_ip, p_request_id
        from control.session s where s.id = p_session and s.operator_user_id is not null;
    if not found then
        raise exception using errcode = 'IS001', message = 'session ' || p_session || ' is no assumed identity';
    end if;
    return true;
end
$$;

-- Whoever is no operator any more acts as nobody from then on, and nobody acts as an operator, whatever program changes
-- the account. An account that is closed ends its assumed sessions with its own (0012, which tells every process).
create function control.end_assumed_sessions() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    with locked as (select s.id from control.session s
                    where s.ended_at is null and s.operator_user_id is not null
                        and ((s.operator_user_id = new.id and not new.operator)
                             or (s.user_id = new.id and new.operator))
                    order by s.id for no key update)
    update control.session s set ended_at = now(), end_reason = 'operator_change' from locked where s.id = locked.id;
    return null;
end
$$;
create trigger end_assumed_sessions after update of operator on control.account
    for each row when (old.operator <> new.operator) execute function control.end_assumed_sessions();

-- What `insula operator` does. An account that is disabled keeps its row, because the audit log names it; its sessions
-- end (0012). False: it is so already.
create function control.set_operator_active(p_user uuid, p_active boolean) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update control.account a set active = p_active, version = a.version + 1, updated_at = now()
        where a.id = p_user and a.operator and a.active <> p_active;
    return found;
end
$$;

revoke all on function control.assume_identity(uuid, uuid, uuid, uuid, text, text, interval, text, text, uuid, text),
    control.end_assumed_identity(uuid, uuid, text, text), control.end_assumed_sessions(),
    control.set_operator_active(uuid, boolean) from public;
grant execute on function
    control.assume_identity(uuid, uuid, uuid, uuid, text, text, interval, text, text, uuid, text),
    control.end_assumed_identity(uuid, uuid, text, text),
    control.set_operator_active(uuid, boolean) to {role:app};
