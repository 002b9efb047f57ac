-- How sessions end and age, for everybody who ends or ages them. An ended session never comes back, and its row says
-- why it ended. Whoever changes a session here is heard of by every process (0012, the revocation feed).

-- True when it ended now.
create function control.end_session(p_session uuid, p_reason text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update control.session s set ended_at = now(), end_reason = p_reason
        where s.id = p_session and s.ended_at is null;
    return found;
end
$$;

-- All sessions of a person, in every tenant, and those an operator has under other people's names, but for one (null:
-- none is spared). In the order of their ids, so that two who do this at once wait for each other and nobody is
-- killed; behind the account's lock, so that none is being opened meanwhile (0013). How many ended.
create function control.end_user_sessions(p_user uuid, p_except uuid, p_reason text) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    perform from control.account a where a.id = p_user for no key update;
    with locked as (select s.id from control.session s
                    where (s.user_id = p_user or s.operator_user_id = p_user) and s.ended_at is null
                        and s.id is distinct from p_except
                    order by s.id for no key update)
    update control.session s set ended_at = now(), end_reason = p_reason from locked where s.id = locked.id;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

-- A member's sessions in one tenant.
create function control.end_member_sessions(p_tenant uuid, p_user uuid, p_reason text) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    with locked as (select s.id from control.session s
                    where s.user_id = p_user and s.tenant_id = p_tenant and s.ended_at is null
                    order by s.id for no key update)
    update control.session s set ended_at = now(), end_reason = p_reason from locked where s.id = locked.id;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

-- A member's role has changed: access tokens that name the old one are refused, and a refresh makes new ones.
create function control.age_member_sessions(p_tenant uuid, p_user uuid) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    with locked as (select s.id from control.session s
                    where s.user_id = p_user and s.tenant_id = p_tenant and s.ended_at is null
                    order by s.id for no key update)
    update control.session s set version = s.version + 1 from locked where s.id = locked.id;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

revoke all on function control.end_session(uuid, text), control.end_user_sessions(uuid, uuid, text),
    control.end_member_sessions(uuid, uuid, text), control.age_member_sessions(uuid, uuid) from public;
grant execute on function control.end_session(uuid, text), control.end_user_sessions(uuid, uuid, text),
    control.end_member_sessions(uuid, uuid, text), control.age_member_sessions(uuid, uuid) to {role:app}, {role:worker};
