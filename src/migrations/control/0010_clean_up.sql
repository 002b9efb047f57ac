-- What nobody needs any more. The margins are here and not with the caller: whoever may call this can hurry nothing.
-- The queue keeps its own tables (queue.clean_up); the audit log and the rows of tenants that are gone stay.

create index session_by_expiry on control.session (expires_at);
create index session_by_end on control.session (ended_at) where ended_at is not null;
create index mail_token_by_expiry on control.mail_token (expires_at);
create index account_by_release on control.account (released_at) where released_at is not null;

-- Sessions that ended or ran out 30 days ago: until then a refresh token that comes again is told from a made-up one.
create function control.clean_sessions(p_limit integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    delete from control.session d where d.id in (
        select s.id from control.session s
        where s.expires_at < now() - interval '30 days' or s.ended_at < now() - interval '30 days'
        limit p_limit for update skip locked);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

-- Links that ran out 7 days ago, used or not: until then a second click on a used one is answered like the first.
create function control.clean_mail_tokens(p_limit integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    delete from control.mail_token d where d.hash in (
        select t.hash from control.mail_token t where t.expires_at < now() - interval '7 days'
        limit p_limit for update skip locked);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

create function control.clean_idempotency_keys(p_limit integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    delete from control.idempotency_key d where (d.scope, d.key_hash) in (
        select k.scope, k.key_hash from control.idempotency_key k where k.expires_at < now()
        limit p_limit for update skip locked);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

-- A deletion removes its tenant's registrations itself; this finds what was added behind its back.
create function control.clean_registrations(p_limit integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    delete from control.registration d where d.id_hash in (
        select r.id_hash from control.registration r join control.tenant t on t.id = r.tenant_id
        where t.status = 'gone' limit p_limit for update of r skip locked);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

-- Invitations (0014) that ran out 7 days ago: until then a second click on an accepted one is told that it was.
create function control.clean_invites(p_limit integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    delete from control.invite d where d.id in (
        select i.id from control.invite i where i.expires_at < now() - interval '7 days'
        limit p_limit for update skip locked);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

-- People whose registration came to nothing 30 days ago, once nothing refers to them: name and address are theirs.
-- A registration that may still be retried does.
create function control.clean_accounts(p_limit integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    delete from control.account d where d.id in (
        select a.id from control.account a
        where a.released_at < now() - interval '30 days' and not a.operator
            and not exists (select from control.registration r where r.user_id = a.id)
            and not exists (select from control.membership m where m.user_id = a.id)
            and not exists (select from control.mail_token t where t.user_id = a.id)
            and not exists (select from control.invite i where i.invited_by = a.id)
            and not exists (select from control.session s where s.user_id = a.id or s.operator_user_id = a.id)
        limit p_limit for update skip locked);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;

revoke all on function control.clean_sessions(integer), control.clean_mail_tokens(integer),
    control.clean_idempotency_keys(integer), control.clean_registrations(integer),
    control.clean_invites(integer), control.clean_accounts(integer) from public;
grant execute on function control.clean_sessions(integer), control.clean_mail_tokens(integer),
    control.clean_idempotency_keys(integer), control.clean_registrations(integer),
    control.clean_invites(integer), control.clean_accounts(integer) to {role:worker};
