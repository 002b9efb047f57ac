-- Who belongs to a tenant, and who is invited to. Every change locks the tenant's row first and judges behind that
-- lock who asks and what there is: an owner who is made a member by somebody else a moment before, or the other of
-- two last owners, has not been overlooked (G24). All run with the caller's rights; p_tenant is from verified claims.
-- Raises, besides those of assert_session: IS005 not allowed, IP001 the last owner, IP002 a member already, IP003
-- an invitation that was accepted, IP004 another version, IP005 a password that has changed, IP006 an identity that is
-- assumed only, IP404 nobody, nothing.

-- The ETag of a membership.
alter table control.membership add column version integer not null default 1;
create index membership_by_age on control.membership (tenant_id, created_at desc, user_id desc)
    where status = 'active';

create table control.invite (
    id uuid primary key,
    tenant_id uuid not null references control.tenant,
    -- As typed by whoever invites, and in the form in which addresses are compared.
    email text not null,
    email_canonical text not null,
    -- Where the last mail went: the address as the account has it, when there was one.
    sent_to text not null,
    role text not null check (role in ('owner', 'admin', 'member')),
    -- SHA-256 of the 256-bit token in the mail; another one with every mail.
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    -- Who answers for it: the last who had it sent.
    invited_by uuid not null references control.account,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    -- Once. What is withdrawn is deleted; what was accepted stays a while, to say so when it is asked again.
    accepted_at timestamptz
);
create unique index invite_pending on control.invite (tenant_id, email_canonical) where accepted_at is null;
create index invite_by_age on control.invite (tenant_id, created_at desc, id desc) where accepted_at is null;
create index invite_by_inviter on control.invite (invited_by);
create index invite_by_expiry on control.invite (expires_at);

create function control.role_rank(p_role text) returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_position(array['member', 'admin', 'owner'], p_role), 0)
$$;

-- The tenant's lock, and behind it what assert_session says, and the role that the caller has now: what the token
-- says does not count.
create function control.assert_role(p_session uuid, p_version integer, p_user uuid, p_tenant uuid, p_least text)
    returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_role text;
begin
    perform from control.tenant t where t.id = p_tenant for no key update;
    perform control.assert_session(p_session, p_version, p_user, p_tenant);
    select m.role into v_role from control.membership m
        where m.tenant_id = p_tenant and m.user_id = p_user and m.status = 'active';
    if control.role_rank(v_role) < control.role_rank(p_least) then
        raise exception using errcode = 'IS005', message = 'user ' || p_user || ' is ' || coalesce(v_role, 'nobody')
            || ' of ' || p_tenant || ', not ' || p_least;
    end if;
    return v_role;
end
$$;

-- Who owns a tenant is not for an operator to decide who acts as an owner for a quarter of an hour: it would last.
create function control.assert_not_assumed(p_session uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from control.session s where s.id = p_session and s.operator_user_id is not null) then
        raise exception using errcode = 'IP006', message = 'session ' || p_session || ' is of an assumed identity';
    end if;
end
$$;

-- The rules that both changes of a member share, behind the tenant's lock: the member's row, locked. p_becomes is
-- null for one who goes.
create function control.lock_member(p_session uuid, p_mine text, p_actor uuid, p_tenant uuid, p_user uuid,
                                    p_becomes text, p_versions integer[]) returns control.membership
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_member control.membership;
begin
    select * into v_member from control.membership m
        where m.tenant_id = p_tenant and m.user_id = p_user and m.status = 'active' for no key update;
    if not found then
        raise exception using errcode = 'IP404', message = 'user ' || p_user || ' is no member of ' || p_tenant;
    end if;
    if not v_member.version = any (p_versions) then
        raise exception using errcode = 'IP004', message = 'the membership has version ' || v_member.version;
    end if;
    if v_member.role = p_becomes then
        return v_member;
    end if;
    if 'owner' in (v_member.role, p_becomes) or (p_becomes is null and p_user = p_actor) then
        perform control.assert_not_assumed(p_session);
    end if;
    if 'owner' in (v_member.role, p_becomes) and p_mine <> 'owner' then
        raise exception using errcode = 'IS005', message = 'user ' || p_actor || ' is no owner of ' || p_tenant;
    end if;
    if v_member.role = 'owner' and not exists (
            select from control.membership m join control.account a on a.id = m.user_id
            where m.tenant_id = p_tenant and m.user_id <> p_user and m.role = 'owner' and m.status = 'active'
                and a.active and a.released_at is null) then
        raise exception using errcode = 'IP001', message = 'user ' || p_user || ' is the last owner of ' || p_tenant;
    end if;
    return v_member;
end
$$;

-- Access tokens that name the old role are refused from now on; a refresh makes new ones. Invitations that the
-- member could not make any more are withdrawn. The role there was before; the same role again changes nothing.
create function control.change_member_role(p_session uuid, p_version integer, p_actor uuid, p_tenant uuid,
                                           p_user uuid, p_role text, p_versions integer[]) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mine text := control.assert_role(p_session, p_version, p_actor, p_tenant, 'admin');
    v_member control.membership := control.lock_member(p_session, v_mine, p_actor, p_tenant, p_user, p_role,
                                                              p_versions);
begin
    if v_member.role <> p_role then
        update control.membership m set role = p_role, version = m.version + 1
            where m.tenant_id = p_tenant and m.user_id = p_user;
        perform control.age_member_sessions(p_tenant, p_user);
        delete from control.invite i where i.tenant_id = p_tenant and i.invited_by = p_user
            and i.accepted_at is null and (p_role = 'member' or control.role_rank(i.role) > control.role_rank(p_role));
    end if;
    return v_member.role;
end
$$;

-- Everybody may go; sending somebody else away takes an admin. The sessions in this tenant end, and so do the
-- invitations that the member answers for. The role there was.
create function control.remove_member(p_session uuid, p_version integer, p_actor uuid, p_tenant uuid, p_user uuid,
                                      p_versions integer[]) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mine text := control.assert_role(p_session, p_version, p_actor, p_tenant,
                                       case when p_user = p_actor then 'member' else 'admin' end);
    v_member control.membership := control.lock_member(p_session, v_mine, p_actor, p_tenant, p_user, null, p_versions);
begin
    update control.membership m set status = 'removed', version = m.version + 1
        where m.tenant_id = p_tenant and m.user_id = p_user;
    perform control.end_member_sessions(p_tenant, p_user, 'member_removed');
    delete from control.invite i
        where i.tenant_id = p_tenant and i.invited_by = p_user and i.accepted_at is null;
    return v_member.role;
end
$$;

-- Two invitations of one address at once: the unique index invite_pending lets one of them through.
create function control.create_invite(
    p_session uuid, p_version integer, p_actor uuid, p_tenant uuid, p_invite uuid, p_email text,
    p_canonical text, p_sent_to text, p_role text, p_token_hash bytea, p_lifetime interval) returns timestamptz
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mine text := control.assert_role(p_session, p_version, p_actor, p_tenant, 'admin');
begin
    if p_role = 'owner' then
        perform control.assert_not_assumed(p_session);
    end if;
    if p_role = 'owner' and v_mine <> 'owner' then
        raise exception using errcode = 'IS005', message = 'user ' || p_actor || ' is no owner of ' || p_tenant;
    end if;
    if exists (select from control.account a join control.membership m on m.user_id = a.id
               where a.email_canonical = p_canonical and a.released_at is null
                   and m.tenant_id = p_tenant and m.status = 'active') then
        raise exception using errcode = 'IP002', message = 'the address is a member''s of ' || p_tenant;
    end if;
    delete from control.invite i where i.tenant_id = p_tenant and i.email_canonical = p_canonical
        and i.accepted_at is null and i.expires_at <= now();
    insert into control.invite (id, tenant_id, email, email_canonical, sent_to, role, token_hash, invited_by,
                                expires_at)
        values (p_invite, p_tenant, p_email, p_canonical, p_sent_to, p_role, p_token_hash, p_actor,
                now() + p_lifetime);
    return now();
end
$$;

-- A pending invitation, for one who may have made it.
create function control.lock_invite(p_session uuid, p_mine text, p_actor uuid, p_tenant uuid, p_invite uuid)
    returns control.invite
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_invite control.invite;
begin
    select * into v_invite from control.invite i
        where i.id = p_invite and i.tenant_id = p_tenant and i.accepted_at is null and i.expires_at > now()
        for no key update;
    if not found then
        raise exception using errcode = 'IP404', message = 'no invitation ' || p_invite || ' to ' || p_tenant;
    end if;
    if v_invite.role = 'owner' then
        perform control.assert_not_assumed(p_session);
    end if;
    if v_invite.role = 'owner' and p_mine <> 'owner' then
        raise exception using errcode = 'IS005', message = 'user ' || p_actor || ' is no owner of ' || p_tenant;
    end if;
    return v_invite;
end
$$;

create function control.withdraw_invite(p_session uuid, p_version integer, p_actor uuid, p_tenant uuid,
                                        p_invite uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mine text := control.assert_role(p_session, p_version, p_actor, p_tenant, 'admin');
begin
    perform control.lock_invite(p_session, v_mine, p_actor, p_tenant, p_invite);
    delete from control.invite i where i.id = p_invite;
end
$$;

-- Another token and its whole time again; the old token is nobody's.
create function control.renew_invite(p_session uuid, p_version integer, p_actor uuid, p_tenant uuid,
                                     p_invite uuid, p_sent_to text, p_token_hash bytea, p_lifetime interval)
    returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mine text := control.assert_role(p_session, p_version, p_actor, p_tenant, 'admin');
begin
    perform control.lock_invite(p_session, v_mine, p_actor, p_tenant, p_invite);
    update control.invite i set token_hash = p_token_hash, sent_to = p_sent_to, expires_at = now() + p_lifetime,
            invited_by = p_actor
        where i.id = p_invite;
end
$$;

-- Exactly once: whoever turns accepted_at from null is the one, and makes the member. With p_full_name a new
-- account is made, p_user its id and p_password_hash its password; without, p_user is whose account it is, and
-- p_password_hash, when it is given, what the password was checked against. The mail with the token came to
-- sent_to, so that is verified, and no other spelling of it: its host may tell the two apart. True: a present
-- account's address was not verified before.
create function control.accept_invite(p_token_hash bytea, p_user uuid, p_full_name text, p_password_hash text)
    returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tenant uuid;
    v_status text;
    v_invite control.invite;
    v_account control.account;
    v_verified boolean := false;
begin
    select i.tenant_id into v_tenant from control.invite i where i.token_hash = p_token_hash;
    select t.status into v_status from control.tenant t where t.id = v_tenant for no key update;
    if v_status <> 'ready' then
        raise exception using errcode =
            case v_status when 'suspended' then 'IS002' when 'pending_deletion' then 'IS003' else 'IS004' end,
            message = 'tenant ' || v_tenant || ' is ' || v_status;
    end if;
    update control.invite i set accepted_at = now()
        where i.token_hash = p_token_hash and i.accepted_at is null and i.expires_at > now()
        returning * into v_invite;
    if not found then
        raise exception using message = 'no pending invitation has this token', errcode =
            case when exists (select from control.invite i
                              where i.token_hash = p_token_hash and i.accepted_at is not null)
                 then 'IP003' else 'IP404' end;
    end if;
    if p_full_name is not null then
        insert into control.account (id, email, email_canonical, full_name, password_hash, email_verified_at)
            values (p_user, v_invite.sent_to, v_invite.email_canonical, p_full_name, p_password_hash, now());
    else
        select * into v_account from control.account a
            where a.id = p_user and a.email_canonical = v_invite.email_canonical and a.active
                and a.released_at is null
            for no key update;
        if not found then
            raise exception using errcode = 'IS005', message = 'the invitation is not for user ' || p_user;
        end if;
        if v_account.password_hash <> p_password_hash then
            raise exception using errcode = 'IP005', message = 'the password of ' || p_user || ' has changed';
        end if;
        update control.account a set email_verified_at = now(), version = a.version + 1, updated_at = now()
            where a.id = p_user and a.email_verified_at is null and a.email = v_invite.sent_to;
        v_verified := found;
    end if;
    insert into control.membership as m (tenant_id, user_id, role, status)
        values (v_invite.tenant_id, p_user, v_invite.role, 'active')
        on conflict (tenant_id, user_id) do update
            set role = excluded.role, status = 'active', created_at = excluded.created_at, version = m.version + 1
            where m.status = 'removed';
    if not found then
        raise exception using errcode = 'IP002', message = 'user ' || p_user || ' is a member of ' || v_tenant;
    end if;
    return v_verified;
end
$$;

revoke all on function control.assert_not_assumed(uuid), control.role_rank(text),
    control.assert_role(uuid, integer, uuid, uuid, text),
    control.lock_member(uuid, text, uuid, uuid, uuid, text, integer[]),
    control.change_member_role(uuid, integer, uuid, uuid, uuid, text, integer[]),
    control.remove_member(uuid, integer, uuid, uuid, uuid, integer[]),
    control.create_invite(uuid, integer, uuid, uuid, uuid, text, text, text, text, bytea, interval),
    control.lock_invite(uuid, text, uuid, uuid, uuid), control.withdraw_invite(uuid, integer, uuid, uuid, uuid),
    control.renew_invite(uuid, integer, uuid, uuid, uuid, text, bytea, interval),
    control.accept_invite(bytea, uuid, text, text) from public;
grant execute on function control.assert_not_assumed(uuid), control.role_rank(text),
    control.assert_role(uuid, integer, uuid, uuid, text),
    control.lock_member(uuid, text, uuid, uuid, uuid, text, integer[]),
    control.change_member_role(uuid, integer, uuid, uuid, uuid, text, integer[]),
    control.remove_member(uuid, integer, uuid, uuid, uuid, integer[]),
    control.create_invite(uuid, integer, uuid, uuid, uuid, text, text, text, text, bytea, interval),
    control.lock_invite(uuid, text, uuid, uuid, uuid), control.withdraw_invite(uuid, integer, uuid, uuid, uuid),
    control.renew_invite(uuid, integer, uuid, uuid, uuid, text, bytea, interval),
    control.accept_invite(bytea, uuid, text, text) to {role:app};
grant select, insert, update, delete on control.invite to {role:app};
grant select, delete on control.invite to {role:worker};
