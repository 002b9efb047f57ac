-- Sessions, single-use mail tokens, signing keys.

create table control.session (
    id uuid primary key,
    user_id uuid not null references control.account,
    -- Null for an operator's session without a tenant.
    tenant_id uuid references control.tenant,
    -- Raised when the role changes: access tokens of older versions are refused.
    version integer not null default 1,
    -- SHA-256 of the refresh token, and of the one it took the place of (0013). A token names its session, so
    -- neither is searched for; older ones are told by the proof they carry. Null: an assumed identity has none.
    refresh_hash bytea,
    refresh_expires_at timestamptz,
    parent_hash bytea,
    rotated_at timestamptz,
    -- The request that did it, which may ask again when the answer to its COMMIT was lost.
    rotated_by uuid,
    -- An assumed identity names the operator behind it.
    operator_user_id uuid references control.account,
    created_at timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    end_reason text,
    ip text,
    user_agent text
) with (fillfactor = 80);
create index session_by_user on control.session (user_id, created_at desc, id desc) where ended_at is null;
create index session_by_tenant on control.session (tenant_id) where ended_at is null;

create table control.mail_token (
    -- SHA-256 of the 256-bit token in the mail.
    hash bytea primary key,
    purpose text not null check (purpose in ('verify_email', 'reset_password')),
    user_id uuid not null references control.account,
    -- The address the mail went to: a token never verifies another one.
    email_canonical text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz,
    voided_at timestamptz
);
create index mail_token_by_user on control.mail_token (user_id, purpose) where used_at is null and voided_at is null;

create table control.signing_key (
    kid text primary key,
    algorithm text not null check (algorithm in ('ES256', 'HS256', 'EdDSA', 'RS256')),
    state text not null check (state in ('active', 'retiring', 'revoked')),
    -- AES-256-GCM under a key derived from INSULA_KEY_ENCRYPTION_KEY; kid and algorithm are bound to it.
    sealed_private bytea not null,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now()
);
-- One key signs at a time, whatever number of processes start at once.
create unique index signing_key_active on control.signing_key ((true)) where state = 'active';

grant select, insert, update on control.session, control.mail_token, control.signing_key to {role:app};
grant select, insert, update on control.session, control.mail_token to {role:worker};

-- First statement of every unit that writes: raises when the session is over, its version is old, the
-- member is gone or the tenant does not take writes. `p_tenant` is null for an operator without a tenant.
create function control.assert_session(p_session uuid, p_version integer, p_user uuid, p_tenant uuid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    tenant_status text;
    alive boolean;
begin
    select t.status, s.ended_at is null and s.version = p_version and s.expires_at > now() and a.active
                     and a.released_at is null
                     and (s.tenant_id is null or m.status = 'active')
                     and (s.operator_user_id is null or exists (
                         select from control.account o where o.id = s.operator_user_id and o.active and o.operator))
        into tenant_status, alive
        from control.session s
        join control.account a on a.id = s.user_id
        left join control.tenant t on t.id = s.tenant_id
        left join control.membership m on m.tenant_id = s.tenant_id and m.user_id = s.user_id
        where s.id = p_session and s.user_id = p_user and s.tenant_id is not distinct from p_tenant;
    if alive is not true then
        raise exception using errcode = 'IS001', message = 'session ' || p_session || ' is over';
    end if;
    if tenant_status <> 'ready' then
        raise exception using errcode =
            case tenant_status when 'suspended' then 'IS002' when 'pending_deletion' then 'IS003' else 'IS004' end,
            message = 'tenant ' || p_tenant || ' is ' || tenant_status;
    end if;
end
$$;
revoke all on function control.assert_session(uuid, integer, uuid, uuid) from public;
grant execute on function control.assert_session(uuid, integer, uuid, uuid) to {role:app};

-- The tenant's half takes the tenant from the role, and what it may ask from the session's own rows.
create function tenant_api.assert_session(p_session uuid, p_version integer, p_user uuid) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform control.assert_session(p_session, p_version, p_user, tenant_api.current_tenant());
end
$$;
revoke all on function tenant_api.assert_session(uuid, integer, uuid) from public;
grant execute on function tenant_api.assert_session(uuid, integer, uuid) to {role:tenant};
