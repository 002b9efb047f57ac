-- What may be done to a tenant after its registration, and by whom. Every change locks the tenant's row first, and
-- so does every step of a workflow about it: they follow one another and never interleave (G34). All run with the
-- caller's rights.

-- An operator's session, asserted in the unit that does the work: without a tenant, and nobody acts in it as
-- somebody else.
create function control.assert_operator(p_session uuid, p_version integer, p_user uuid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    allowed boolean;
begin
    select a.operator into allowed
        from control.session s join control.account a on a.id = s.user_id
        where s.id = p_session and s.user_id = p_user and s.version = p_version and s.ended_at is null
            and s.expires_at > now() and a.active and a.released_at is null and s.tenant_id is null
            and s.operator_user_id is null;
    if allowed is null then
        raise exception using errcode = 'IS001', message = 'session ' || p_session || ' is over';
    end if;
    if not allowed then
        raise exception using errcode = 'IS005', message = 'user ' || p_user || ' is no operator';
    end if;
end
$$;

-- What assert_session is for every other write: only an owner restores, and whatever state the tenant is in is
-- for the restore itself to judge.
create function control.assert_restorer(p_session uuid, p_version integer, p_user uuid, p_tenant uuid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_role text;
begin
    select m.role into found_role
        from control.session s
        join control.account a on a.id = s.user_id
        join control.membership m on m.tenant_id = s.tenant_id and m.user_id = s.user_id
        where s.id = p_session and s.user_id = p_user and s.tenant_id = p_tenant and s.version = p_version
            and s.ended_at is null and s.expires_at > now() and a.active and a.released_at is null
            and m.status = 'active'
            and s.operator_user_id is null;
    if found_role is null then
        raise exception using errcode = 'IS001', message = 'session ' || p_session || ' is over';
    end if;
    if found_role <> 'owner' then
        raise exception using errcode = 'IS005', message = 'user ' || p_user || ' is no owner of ' || p_tenant;
    end if;
end
$$;

-- The row's lock, and the state it was taken in: one of those that the caller can go on from. Not the strongest
-- lock: rows that refer to the tenant may still be added.
create function control.lock_tenant(p_tenant uuid, variadic p_allowed text[]) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_status text;
begin
    select t.status into found_status from control.tenant t where t.id = p_tenant for no key update;
    if found_status is null then
        raise exception using errcode = 'IT404', message = 'tenant ' || p_tenant || ' does not exist';
    end if;
    if not found_status = any (p_allowed) then
        raise exception using errcode = 'IT001', detail = found_status,
            message = 'tenant ' || p_tenant || ' is ' || found_status || ', not ' ||
                array_to_string(p_allowed, ' or ');
    end if;
    return found_status;
end
$$;

create function control.change_tenant_status(p_tenant uuid, p_from text, p_to text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform control.lock_tenant(p_tenant, p_from);
    update control.tenant t set status = p_to, version = t.version + 1 where t.id = p_tenant;
end
$$;

-- The run is enqueued by the caller, in the same transaction, with the same delay. p_now: a tenant that is
-- pending already is taken over from the run that waits.
create function control.request_deletion(p_tenant uuid, p_run uuid, p_grace interval, p_now boolean)
returns timestamptz
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before uuid;
    v_at timestamptz := clock_timestamp() + case when p_now then interval '0' else p_grace end;
begin
    if p_now then
        perform control.lock_tenant(p_tenant, 'ready', 'suspended', 'failed', 'pending_deletion');
    else
        perform control.lock_tenant(p_tenant, 'ready', 'suspended', 'failed');
    end if;
    select t.deletion_run into v_before from control.tenant t where t.id = p_tenant;
    if v_before is not null then
        perform queue.cancel_run(v_before);
    end if;
    update control.tenant t
        set status = 'pending_deletion', purge_at = v_at, deletion_run = p_run, version = t.version + 1
        where t.id = p_tenant;
    return v_at;
end
$$;

-- Back to what it was, and the run that waits is cancelled with it. Should that run be on its way already, it
-- waits for this row's lock and then finds that it is not the tenant's any more. A registration that was never
-- verified gets its address back with its tenant, and a new time to verify it.
create function control.restore_tenant(p_tenant uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_run uuid;
    v_back_to text;
begin
    perform control.lock_tenant(p_tenant, 'pending_deletion');
    select t.deletion_run, t.restore_status into v_run, v_back_to from control.tenant t where t.id = p_tenant;
    perform queue.cancel_run(v_run);
    if v_back_to <> 'failed' then
        update control.account a set released_at = null, updated_at = now()
            from control.registration r
            where r.tenant_id = p_tenant and r.new_account and a.id = r.user_id and a.released_at is not null;
    end if;
    update control.tenant t set status = t.restore_status, version = t.version + 1 where t.id = p_tenant;
end
$$;

-- From failed to provisioning; p_run is enqueued by the caller. What somebody else has taken since answers with
-- its unique index: account_email_taken, tenant_slug_taken.
create function control.retry_registration(p_tenant uuid, p_run uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform control.lock_tenant(p_tenant, 'failed');
    update control.account a set released_at = null, updated_at = now()
        from control.registration r
        where r.tenant_id = p_tenant and r.new_account and a.id = r.user_id and a.released_at is not null;
    update control.tenant t
        set status = 'provisioning', failure_code = null, failure_detail = null, version = t.version + 1
        where t.id = p_tenant;
    update control.registration r set run_id = p_run where r.tenant_id = p_tenant;
end
$$;

-- What the registrant reads when it failed; mail and slug are free again.
create function control.fail_provisioning(p_tenant uuid, p_code text, p_detail text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update control.tenant t
        set status = 'failed', failure_code = p_code, failure_detail = p_detail, version = t.version + 1
        where t.id = p_tenant and t.status = 'provisioning';
    if found then
        -- Who accepted an invitation meanwhile keeps the account. The lock is a statement of its own, so that an
        -- acceptance under way is waited for and then seen.
        perform from control.account a join control.registration r on r.user_id = a.id
            where r.tenant_id = p_tenant and r.new_account for no key update of a;
        update control.account a set released_at = now()
            from control.registration r
            where r.tenant_id = p_tenant and r.new_account and a.id = r.user_id and a.released_at is null
                and not exists (select from control.membership m where m.user_id = a.id and m.tenant_id <> p_tenant
                                and m.status in ('active', 'pending'));
    end if;
end
$$;

-- The deletion's first step. False: this run has nothing to do here (any more).
create function control.begin_deletion(p_tenant uuid, p_run uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant record;
begin
    select t.status, t.deletion_run, t.purge_at into v_tenant
        from control.tenant t where t.id = p_tenant for no key update;
    if not found or v_tenant.deletion_run is distinct from p_run
            or v_tenant.status not in ('pending_deletion', 'deleting') then
        return false;
    end if;
    if v_tenant.status = 'pending_deletion' then
        if v_tenant.purge_at > clock_timestamp() then
            raise exception using errcode = 'IT006', message = 'tenant ' || p_tenant || ' can be restored until '
                || v_tenant.purge_at;
        end if;
        update control.tenant t set status = 'deleting', version = t.version + 1 where t.id = p_tenant;
    end if;
    update control.session s set ended_at = now(), end_reason = 'tenant_deleted'
        where s.tenant_id = p_tenant and s.ended_at is null;
    return true;
end
$$;

-- Registrations nobody ever came back to, oldest first, locked, for their purge: the address was never verified,
-- nobody ever logged in, nobody else belongs to the tenant. A tenant that somebody has used is not purged here,
-- whatever setting it was used under; one that was set up again, or restored, has its time from then.
create function control.lock_unverified(p_age interval, p_limit integer)
returns table (tenant_id uuid, user_id uuid)
language sql
set search_path = pg_catalog, pg_temp
as $$
    select t.id, a.id
    from control.account a
    join control.registration r on r.user_id = a.id and r.new_account
    join control.tenant t on t.id = r.tenant_id and t.status in ('ready', 'suspended')
    where a.email_verified_at is null and a.released_at is null and a.created_at < now() - p_age
        and a.updated_at < now() - p_age
        and not exists (select from control.session s where s.user_id = a.id)
        and not exists (select from control.audit_log l where l.tenant_id = t.id and l.action = 'user.login')
        and not exists (select from control.membership m
                        where m.tenant_id = t.id and m.user_id <> a.id and m.status <> 'removed')
        and not exists (select from control.membership m
                        where m.user_id = a.id and m.tenant_id <> t.id and m.status <> 'removed')
    order by a.created_at limit p_limit
    for no key update of t, a skip locked
$$;

-- The address is free again; its mails' links are void.
create function control.release_account(p_user uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update control.account a set released_at = now() where a.id = p_user and a.released_at is null;
    delete from control.mail_token t where t.user_id = p_user;
end
$$;

-- Accounts that never were verified and whose tenant was deleted before they could be.
create function control.release_orphans(p_age interval, p_limit integer) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer := 0;
    v_user uuid;
begin
    for v_user in
        select a.id from control.account a
        where a.email_verified_at is null and a.released_at is null and a.created_at < now() - p_age
            and not a.operator
            and not exists (select from control.session s where s.user_id = a.id and s.ended_at is null)
            and not exists (select from control.membership m where m.user_id = a.id)
        order by a.created_at limit p_limit for no key update skip locked
    loop
        perform control.release_account(v_user);
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;

-- The deletion's last step: nothing of the tenant is left but its row and its audit log. People stay.
create function control.finish_deletion(p_tenant uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform control.lock_tenant(p_tenant, 'deleting');
    -- A login that had looked before the first step may have made one behind it.
    update control.session s set ended_at = now(), end_reason = 'tenant_deleted'
        where s.tenant_id = p_tenant and s.ended_at is null;
    delete from control.registration r where r.tenant_id = p_tenant;
    delete from control.invite i where i.tenant_id = p_tenant;
    delete from control.membership m where m.tenant_id = p_tenant;
    -- Stored answers (0008) quote what was in the tenant's tables.
    delete from control.idempotency_key k where k.scope = p_tenant;
    update control.tenant t set status = 'gone', version = t.version + 1 where t.id = p_tenant;
end
$$;

revoke all on all functions in schema control from public;
grant execute on function control.assert_operator(uuid, integer, uuid),
    control.assert_restorer(uuid, integer, uuid, uuid) to {role:app};
grant execute on function control.lock_tenant(uuid, text[]), control.change_tenant_status(uuid, text, text),
    control.request_deletion(uuid, uuid, interval, boolean), control.restore_tenant(uuid),
    control.retry_registration(uuid, uuid) to {role:app}, {role:worker};
grant execute on function control.fail_provisioning(uuid, text, text), control.begin_deletion(uuid, uuid),
    control.finish_deletion(uuid), control.lock_unverified(interval, integer), control.release_account(uuid),
    control.release_orphans(interval, integer) to {role:worker};
grant delete on control.registration, control.membership, control.mail_token to {role:worker};
