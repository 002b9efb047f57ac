-- What was answered to requests that create, by their Idempotency-Key (docs/decisions/0004).

create table control.idempotency_key (
    -- The tenant, or the nil UUID for the control plane: no tenant can meet another's keys, whatever it sends.
    scope uuid not null,
    -- Route, caller and key under a keyed hash; the key itself is never stored.
    key_hash bytea not null check (octet_length(key_hash) = 32),
    -- Keyed hash of the body.
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    -- Answers hold capabilities: AES-256-GCM, bound to key_hash.
    sealed_answer bytea not null,
    -- The time of the transaction, and so of everything it made: what the answer says in created_at.
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '24 hours',
    primary key (scope, key_hash)
);
create index idempotency_key_by_expiry on control.idempotency_key (expires_at);
grant select on control.idempotency_key to {role:app};
grant select, delete on control.idempotency_key to {role:worker};

-- First statement of a unit that creates: whoever is here first stores, in that unit's own transaction, what it will
-- answer. Everybody else is sent away by an error, which ends its unit: II001 while the first is not through (a try,
-- never a wait), II002 when the key was used for another body, II003 when there is an answer to give again. A
-- unit that fails afterwards takes its row with it. Not granted to anybody: the two functions below say whose keys.
create function control.idempotency_take_in(p_scope uuid, p_key_hash bytea, p_fingerprint bytea, p_answer bytea)
    returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    -- 64 bits of a hash over scope and key: no tenant can hold a lock of another's.
    lock_key bigint := ('x' || left(encode(sha256(decode(replace(p_scope::text, '-', ''), 'hex') || p_key_hash),
                                           'hex'), 16))::bit(64)::bigint;
    used control.idempotency_key;
begin
    if not pg_try_advisory_xact_lock(lock_key) then
        raise exception using errcode = 'II001', message = 'a request with this idempotency key is running';
    end if;
    -- A statement of its own, and so with a snapshot taken behind the lock.
    select * into used from control.idempotency_key k
        where k.scope = p_scope and k.key_hash = p_key_hash and k.expires_at > now();
    if found and used.fingerprint <> p_fingerprint then
        raise exception using errcode = 'II002', message = 'the idempotency key was used for another body';
    end if;
    if found then
        raise exception using errcode = 'II003', message = 'the idempotency key has an answer';
    end if;
    insert into control.idempotency_key as k (scope, key_hash, fingerprint, sealed_answer)
        values (p_scope, p_key_hash, p_fingerprint, p_answer)
        on conflict (scope, key_hash) do update
            set fingerprint = excluded.fingerprint, sealed_answer = excluded.sealed_answer,
                created_at = excluded.created_at, expires_at = excluded.expires_at
            where k.expires_at <= now();
    if not found then
        raise exception using errcode = 'II001', message = 'another transaction has taken this idempotency key';
    end if;
end
$$;

create function control.idempotency_take(p_key_hash bytea, p_fingerprint bytea, p_answer bytea) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform control.idempotency_take_in('00000000-0000-0000-0000-000000000000', p_key_hash, p_fingerprint, p_answer);
end
$$;

-- The tenant's halves take the tenant from the role.
create function tenant_api.idempotency_take(p_key_hash bytea, p_fingerprint bytea, p_answer bytea) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform control.idempotency_take_in(tenant_api.current_tenant(), p_key_hash, p_fingerprint, p_answer);
end
$$;

create function tenant_api.idempotency_answer(p_key_hash bytea)
    returns table (sealed_answer bytea, created_at timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select k.sealed_answer, k.created_at from control.idempotency_key k
        where k.scope = tenant_api.current_tenant() and k.key_hash = p_key_hash and k.expires_at > now();
end
$$;

revoke all on function control.idempotency_take_in(uuid, bytea, bytea, bytea),
    control.idempotency_take(bytea, bytea, bytea), tenant_api.idempotency_take(bytea, bytea, bytea),
    tenant_api.idempotency_answer(bytea) from public;
grant execute on function control.idempotency_take(bytea, bytea, bytea) to {role:app};
grant execute on function tenant_api.idempotency_take(bytea, bytea, bytea), tenant_api.idempotency_answer(bytea)
    to {role:tenant};
