-- Run by `insula bootstrap` as a superuser, any number of times, inside the service's database.
-- Cells and passwords are added by the command itself; this file makes what does not depend on their number.
--
-- No login holds CREATEROLE: on PostgreSQL 15 such a login can make itself a member of
-- pg_execute_server_program. The role that may create roles cannot log in and acts only through the two
-- functions below, which build every name from the tenant's UUID.

do $$
declare
    name text;
begin
    -- Two administrators at once would meet in "tuple concurrently updated".
    perform pg_advisory_xact_lock(29676314724950274);
    foreach name in array array['{name:owner}', '{name:app}', '{name:worker}'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = name) then
            execute format('create role %I login noinherit nocreaterole nocreatedb', name);
        end if;
    end loop;
    foreach name in array array['{name:provisioner}', '{name:schema_owner}', '{name:gatekeeper}',
                                '{name:tenant}'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = name) then
            execute format('create role %I nologin', name);
        end if;
    end loop;
end
$$;

alter role {role:provisioner} nologin createrole nosuperuser nocreatedb noreplication nobypassrls;
alter role {role:schema_owner} nologin nocreaterole nosuperuser nocreatedb noreplication nobypassrls;
alter role {role:gatekeeper} nologin nocreaterole nosuperuser nocreatedb noreplication nobypassrls;
alter role {role:tenant} nologin nocreaterole nosuperuser nocreatedb noreplication nobypassrls;
-- PostgreSQL 16 and later ask for ADMIN OPTION to grant a role; 15 does not mind it.
grant {role:tenant} to {role:provisioner} with admin option;

-- Nobody gets anything from being PUBLIC: no temporary tables, no public schema, no large objects,
-- no anonymous code blocks.
revoke all on database {database} from public;
grant connect on database {database} to {role:owner}, {role:app}, {role:worker};
grant create on database {database} to {role:owner}, {role:schema_owner};
revoke all on schema public from public;
revoke usage on language plpgsql from public;
grant usage on language plpgsql to {role:owner};
revoke execute on function pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid),
    pg_catalog.lo_from_bytea(oid, bytea), pg_catalog.lo_open(oid, integer),
    pg_catalog.lo_put(oid, bigint, bytea), pg_catalog.lowrite(integer, bytea),
    pg_catalog.lo_unlink(oid), pg_catalog.lo_truncate(integer, integer),
    pg_catalog.lo_truncate64(integer, bigint), pg_catalog.lo_get(oid),
    pg_catalog.lo_get(oid, bigint, integer) from public;

-- A session-level advisory lock outlives its transaction: a tenant could hold up everybody's provisioning with one.
do $$
declare
    lock_function text;
begin
    for lock_function in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'pg_catalog'::regnamespace
          and (starts_with(p.proname::text, 'pg_advisory_') or starts_with(p.proname::text, 'pg_try_advisory_'))
    loop
        execute 'revoke execute on function ' || lock_function || ' from public';
        execute 'grant execute on function ' || lock_function ||
                ' to {role:owner}, {role:worker}, {role:schema_owner}';
    end loop;
end
$$;
-- Every login gives its own up with this when a connection goes back to its pool; it reaches nobody else's.
grant execute on function pg_catalog.pg_advisory_unlock_all() to public;

create schema if not exists control authorization {role:owner};
create schema if not exists queue authorization {role:owner};
create schema if not exists tenant_api authorization {role:owner};
create schema if not exists provision authorization {role:provisioner};
revoke all on schema provision from public;
grant usage on schema provision to {role:worker}, {role:owner}, {role:schema_owner};

-- One injective name for role and schema: 't_' and the 32 hexadecimal digits of the UUID.
create or replace function provision.tenant_name(tenant uuid) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
return 't_' || pg_catalog.replace(tenant::text, '-', '');

-- What a tenant's role and schema may be made or dropped for is decided by the tenant's own row: a caller
-- cannot drop a living tenant, whatever it passes. The row is read with the rights of a role that can do nothing
-- else: what the table's owner attaches to it (a policy, a view in its place) runs with the reader's rights, and
-- the reader must not be the one that may create roles.
create or replace function provision.assert_status(tenant uuid, variadic allowed text[]) returns void
language plpgsql stable strict security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found text;
begin
    select t.status into found from control.tenant t where t.id = assert_status.tenant;
    if found is null then
        raise exception using errcode = 'IT404', message = 'tenant ' || tenant || ' does not exist';
    end if;
    if not found = any (allowed) then
        raise exception using errcode = 'IT001',
            message = 'tenant ' || tenant || ' is ' || found || ', not ' || array_to_string(allowed, ' or ');
    end if;
end
$$;

create or replace function provision.create_tenant_role(tenant uuid, cell integer) returns void
language plpgsql strict security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    tenant_role text := provision.tenant_name(tenant);
    cell_role text := '{prefix}_cell_' || cell;
begin
    perform provision.assert_status(tenant, 'provisioning');
    if not exists (select from pg_roles where rolname = cell_role) then
        raise exception using errcode = 'IT002',
            message = 'cell ' || cell || ' has no login ' || cell_role || '; run insula bootstrap with more cells';
    end if;
    if not exists (select from pg_roles where rolname = tenant_role) then
        execute format('create role %I nologin in role %I', tenant_role, '{name:tenant}');
    end if;
    execute format('grant %I to %I', tenant_role, cell_role);
end
$$;

create or replace function provision.drop_tenant_role(tenant uuid) returns void
language plpgsql strict security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform provision.assert_status(tenant, 'provisioning', 'failed', 'deleting');
    execute format('drop role if exists %I', provision.tenant_name(tenant));
end
$$;

-- The schema's owner is another role without login, and without CREATEROLE: migrations of tenants run as it,
-- so the text of a migration reaches tenant schemas and nothing else.
create or replace function provision.create_tenant_schema(tenant uuid) returns integer
language plpgsql strict security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    schema_name text := provision.tenant_name(tenant);
begin
    perform provision.assert_status(tenant, 'provisioning');
    execute format('create schema if not exists %I', schema_name);
    execute format('grant usage on schema %I to %I', schema_name, schema_name);
    return provision.apply_tenant_migrations(tenant);
end
$$;

-- An extension serves the whole database: dropped with the schema it is in, it would take along what other tenants'
-- tables have of it. So no tenant's schema may be the one.
create or replace function provision.assert_no_extension(schema_name text) returns void
language plpgsql stable strict
set search_path = pg_catalog, pg_temp
as $$
declare
    found text := (select string_agg(e.extname, ', ') from pg_extension e
                   join pg_namespace n on n.oid = e.extnamespace where n.nspname = schema_name);
begin
    if found is not null then
        raise exception using errcode = 'IT007', message = 'extension ' || found || ' is in schema ' || schema_name ||
            ', but serves all tenants: an administrator installs it, in a schema of its own';
    end if;
end
$$;

-- Applies what is missing, in number order, and returns the version reached. `{t}` in a migration is the
-- quoted schema. The shared advisory lock is how `insula migrate` waits for provisioning that has
-- already read an older list (key: 0x696e73756c6101).
create or replace function provision.apply_tenant_migrations(tenant uuid) returns integer
language plpgsql strict security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    schema_name text := provision.tenant_name(tenant);
    reached integer;
    step record;
begin
    perform pg_advisory_xact_lock_shared(29676314724950273);
    select t.schema_version into strict reached from control.tenant t
        where t.id = apply_tenant_migrations.tenant for update;
    for step in
        select m.number, m.sql from control.tenant_migration m where m.number > reached order by m.number
    loop
        execute replace(step.sql, '{t}', quote_ident(schema_name));
        reached := step.number;
    end loop;
    perform provision.assert_no_extension(schema_name);
    -- Not GRANT … ON ALL TABLES IN SCHEMA: it reads the whole of pg_class six times, so each tenant would make the
    -- next one slower to make. What is in a schema hangs on it in pg_depend, which has an index for that.
    for step in
        select case c.relkind when 'S' then 'grant usage on sequence '
                    else 'grant select, insert, update, delete on table ' end
               || string_agg(format('%I.%I', schema_name, c.relname), ', ') as grant_to
        from pg_depend d join pg_class c on c.oid = d.objid
        where d.refclassid = 'pg_namespace'::regclass and d.refobjid = schema_name::regnamespace
            and d.classid = 'pg_class'::regclass and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        group by c.relkind
    loop
        execute step.grant_to || ' to ' || quote_ident(schema_name);
    end loop;
    update control.tenant t set schema_version = reached where t.id = apply_tenant_migrations.tenant;
    return reached;
end
$$;

create or replace function provision.drop_tenant_schema(tenant uuid) returns void
language plpgsql strict security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform provision.assert_status(tenant, 'provisioning', 'failed', 'deleting');
    perform provision.assert_no_extension(provision.tenant_name(tenant));
    execute format('drop schema if exists %I cascade', provision.tenant_name(tenant));
end
$$;

-- A schema of any size is emptied in batches, each a transaction of its own: the locks that dropping takes stay far
-- below what the whole server has room for. `weight` bounds what hangs on the objects of one batch; the answer
-- is how many were dropped, 0 when only what the schema's own end takes along is left. What is newer goes first, so
-- that views, partitions and foreign keys go before what they stand on.
create or replace function provision.empty_tenant_schema(tenant uuid, weight integer) returns integer
language plpgsql strict security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    schema_id oid := (select n.oid from pg_namespace n where n.nspname = provision.tenant_name(tenant));
    dropped integer := 0;
    spent bigint := 0;
    oldest oid;
    statements text[];
    weights bigint[];
begin
    perform provision.assert_status(tenant, 'deleting');
    if schema_id is null then
        return 0;
    end if;
    loop
        with newest as materialized (
            select d.classid, d.objid from pg_depend d
            where d.refclassid = 'pg_namespace'::regclass and d.refobjid = schema_id and d.deptype = 'n'
                and d.classid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
                and (oldest is null or d.objid < oldest)
            order by d.objid desc limit 200),
        -- An identity's sequence goes with its column, a member of an extension with the extension.
        free as (
            select n.* from newest n
            where not exists (select from pg_depend o where o.classid = n.classid and o.objid = n.objid
                              and o.objsubid = 0 and o.deptype in ('i', 'e')))
        select array_agg(format('drop %s if exists %s cascade', i.type, i.identity) order by f.objid desc),
                array_agg(4 + (select count(*) from pg_depend h
                               where h.refclassid = f.classid and h.refobjid = f.objid) order by f.objid desc),
                (select min(n.objid) from newest n)
            into statements, weights, oldest
            from free f, pg_identify_object(f.classid, f.objid, 0) i;
        -- All of these may be part of something older.
        exit when statements is not null or oldest is null;
    end loop;
    while dropped < coalesce(cardinality(statements), 0) loop
        spent := spent + weights[dropped + 1];
        exit when spent > weight and dropped > 0;
        dropped := dropped + 1;
        execute statements[dropped];
    end loop;
    return dropped;
end
$$;

-- The worker's two verbs. They run with the caller's rights: each half is granted by its own definer.
create or replace function provision.create_tenant(tenant uuid, cell integer) returns integer
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    perform provision.create_tenant_role(tenant, cell);
    return provision.create_tenant_schema(tenant);
end
$$;

create or replace function provision.drop_tenant(tenant uuid) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    perform provision.drop_tenant_schema(tenant);
    perform provision.drop_tenant_role(tenant);
end
$$;

revoke all on all functions in schema provision from public;
alter function provision.create_tenant_role(uuid, integer) owner to {role:provisioner};
alter function provision.drop_tenant_role(uuid) owner to {role:provisioner};
-- A new owner must be able to create in the schema; the right goes again at once.
grant create on schema provision to {role:schema_owner};
alter function provision.create_tenant_schema(uuid) owner to {role:schema_owner};
alter function provision.apply_tenant_migrations(uuid) owner to {role:schema_owner};
alter function provision.drop_tenant_schema(uuid) owner to {role:schema_owner};
alter function provision.empty_tenant_schema(uuid, integer) owner to {role:schema_owner};
revoke create on schema provision from {role:schema_owner};
grant create, usage on schema provision to {role:gatekeeper};
alter function provision.assert_status(uuid, text[]) owner to {role:gatekeeper};
revoke create, usage on schema provision from {role:gatekeeper};
grant execute on function provision.tenant_name(uuid), provision.assert_status(uuid, text[])
    to {role:worker}, {role:owner}, {role:provisioner}, {role:schema_owner};
grant execute on function provision.assert_no_extension(text) to {role:schema_owner};
grant execute on function provision.create_tenant_role(uuid, integer), provision.drop_tenant_role(uuid),
    provision.create_tenant_schema(uuid), provision.drop_tenant_schema(uuid),
    provision.empty_tenant_schema(uuid, integer), provision.create_tenant(uuid, integer),
    provision.drop_tenant(uuid) to {role:worker};
grant execute on function provision.apply_tenant_migrations(uuid) to {role:owner}, {role:worker};
