-- Tenants, users and who belongs where. Applied as the owner's login.

-- A function is nobody's until it is granted.
alter default privileges revoke execute on functions from public;

grant usage on schema control to {role:app}, {role:worker}, {role:gatekeeper}, {role:schema_owner};

-- The tenants' migrations, as `insula migrate` last saw them. Run by provision.apply_tenant_migrations.
create table control.tenant_migration (
    number integer primary key check (number > 0),
    name text not null,
    checksum bytea not null,
    sql text not null
);
grant select on control.tenant_migration to {role:app}, {role:worker}, {role:schema_owner};
-- What has been applied, for readiness and `insula doctor` (the migrator made the table).
grant select on control.migration to {role:app}, {role:worker};

create table control.tenant (
    id uuid primary key,
    slug text not null check (slug ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' and length(slug) <= 56),
    name text not null check (length(name) between 1 and 100),
    status text not null default 'provisioning' check (status in
        ('provisioning', 'ready', 'failed', 'suspended', 'pending_deletion', 'deleting', 'gone')),
    cell integer not null check (cell >= 0),
    schema_version integer not null default 0,
    failure_code text,
    failure_detail text,
    -- While it is pending deletion: what a restore goes back to, from when it may be purged, and the one run
    -- that may do so. The trigger below sets the first and clears all three.
    restore_status text check (restore_status in ('ready', 'suspended', 'failed')),
    purge_at timestamptz,
    deletion_run uuid,
    -- The ETag: raised by every change a client can see.
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
) with (fillfactor = 80);

-- A slug is an alias: free again when its registration failed or its tenant is gone. A failed registration that
-- is pending deletion holds none either: somebody may have it by now.
create unique index tenant_slug_taken on control.tenant (slug)
    where status not in ('failed', 'gone') and restore_status is distinct from 'failed';
create index tenant_by_age on control.tenant (created_at desc, id desc);

-- Any transition that is not listed is refused here, whatever program asks.
create function control.guard_tenant_status() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        if new.status <> 'provisioning' then
            raise exception using errcode = 'IT001', message = 'a tenant starts as provisioning, not ' || new.status;
        end if;
        return new;
    end if;
    if new.id <> old.id then
        raise exception using errcode = 'IT001', message = 'the id of a tenant never changes';
    end if;
    if new.status <> old.status then
        if (old.status, new.status) not in (
            ('provisioning', 'ready'), ('provisioning', 'failed'), ('failed', 'provisioning'),
            ('ready', 'suspended'), ('suspended', 'ready'),
            ('ready', 'pending_deletion'), ('suspended', 'pending_deletion'), ('failed', 'pending_deletion'),
            ('pending_deletion', 'ready'), ('pending_deletion', 'suspended'), ('pending_deletion', 'failed'),
            ('pending_deletion', 'deleting'), ('deleting', 'gone')) then
            raise exception using errcode = 'IT001',
                message = 'a tenant cannot go from ' || old.status || ' to ' || new.status, detail = old.status;
        end if;
        if old.status = 'pending_deletion' and new.status not in (old.restore_status, 'deleting') then
            raise exception using errcode = 'IT001', detail = old.status,
                message = 'a tenant that was ' || old.restore_status || ' is not restored to ' || new.status;
        end if;
        if new.status = 'pending_deletion' then
            new.restore_status := old.status;
        elsif new.status <> 'deleting' then
            new.restore_status := null;
            new.purge_at := null;
            new.deletion_run := null;
        end if;
    end if;
    if new.status in ('pending_deletion', 'deleting') and (new.purge_at is null or new.deletion_run is null) then
        raise exception using errcode = 'IT001', detail = old.status,
            message = 'a tenant is deleted by a run, at a time';
    end if;
    new.updated_at := now();
    return new;
end
$$;
revoke all on function control.guard_tenant_status() from public;
create trigger guard_status before insert or update on control.tenant
    for each row execute function control.guard_tenant_status();

create table control.account (
    id uuid primary key,
    email text not null,
    email_canonical text not null,
    full_name text not null,
    password_hash text not null,
    email_verified_at timestamptz,
    operator boolean not null default false,
    active boolean not null default true,
    -- Set when the registration that made the account failed: the mail address is free again.
    released_at timestamptz,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
) with (fillfactor = 80);
create unique index account_email_taken on control.account (email_canonical) where released_at is null;
create index account_unverified on control.account (created_at)
    where email_verified_at is null and released_at is null;

create table control.membership (
    tenant_id uuid not null references control.tenant,
    user_id uuid not null references control.account,
    role text not null check (role in ('owner', 'admin', 'member')),
    -- `pending` until the tenant is ready: an intent, not yet a right.
    status text not null default 'pending' check (status in ('pending', 'active', 'removed')),
    created_at timestamptz not null default now(),
    primary key (tenant_id, user_id)
);
create index membership_by_user on control.membership (user_id);

create table control.registration (
    -- SHA-256 of the 128-bit capability that the registrant holds.
    id_hash bytea primary key,
    tenant_id uuid not null references control.tenant,
    user_id uuid not null references control.account,
    -- The latest provisioning: a retry is another run.
    run_id uuid not null,
    -- The account was made along with the tenant, and goes when nothing comes of either.
    new_account boolean not null,
    created_at timestamptz not null default now()
);
create index registration_by_tenant on control.registration (tenant_id);

grant select, insert, update on control.tenant, control.account, control.membership, control.registration
    to {role:app}, {role:worker};
grant select (id, status) on control.tenant to {role:gatekeeper};
grant select, update (schema_version) on control.tenant to {role:schema_owner};
