-- The audit log. A row is written in the transaction of the change it tells of, or neither exists.

create table control.audit_log (
    -- Made by the caller before sending: after a lost COMMIT this id is the witness.
    id uuid primary key,
    tenant_id uuid,
    user_id uuid,
    operator_user_id uuid,
    action text not null check (action ~ '^[a-z_]+[.][a-z_]+$'),
    entity_type text,
    entity_id text,
    changes jsonb,
    ip text,
    request_id text,
    status text not null default 'success' check (status in ('success', 'failure')),
    created_at timestamptz not null default now()
);
create index audit_log_by_tenant on control.audit_log (tenant_id, created_at desc, id desc);
create index audit_log_by_action on control.audit_log (tenant_id, action, created_at desc, id desc);
create index audit_log_by_user on control.audit_log (tenant_id, user_id, created_at desc, id desc);
create index audit_log_by_entity on control.audit_log (tenant_id, entity_type, entity_id, created_at desc, id desc);

-- Nobody changes history: the services insert and read.
grant select, insert on control.audit_log to {role:app}, {role:worker};

-- What tenants may reach of the control plane: these functions, and they take the tenant from the role the
-- transaction switched to, never from an argument. `role` keeps the caller's value inside a SECURITY DEFINER
-- function (manual, SET ROLE), and it can only be set to a role the login is a member of.
grant usage on schema tenant_api to {role:tenant};

create function tenant_api.current_tenant() returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    role_name text := current_setting('role');
begin
    if role_name !~ '^t_[0-9a-f]{32}$' then
        raise exception using errcode = 'IT403', message = 'no tenant scope: the role is ' || role_name;
    end if;
    return substr(role_name, 3)::uuid;
end
$$;

create function tenant_api.audit_add(
    p_id uuid, p_action text, p_entity_type text, p_entity_id text, p_changes jsonb,
    p_user uuid, p_operator uuid, p_ip text, p_request_id text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into control.audit_log
        (id, tenant_id, user_id, operator_user_id, action, entity_type, entity_id, changes, ip, request_id)
    values (p_id, tenant_api.current_tenant(), p_user, p_operator, p_action, p_entity_type, p_entity_id,
            p_changes, p_ip, p_request_id);
end
$$;

-- One page, newest first; the position is that of the last row seen. Planned with the values at hand: each filter
-- has its index.
create function tenant_api.audit_list(
    p_action text, p_user uuid, p_entity_type text, p_entity_id text,
    p_before timestamptz, p_before_id uuid, p_limit integer)
returns table (id uuid, user_id uuid, operator_user_id uuid, action text, entity_type text, entity_id text,
               changes jsonb, ip text, request_id text, status text, created_at timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    return query
        select a.id, a.user_id, a.operator_user_id, a.action, a.entity_type, a.entity_id, a.changes, a.ip,
               a.request_id, a.status, a.created_at
        from control.audit_log a
        where a.tenant_id = tenant_api.current_tenant()
          and (p_action is null or a.action = p_action)
          and (p_user is null or a.user_id = p_user)
          and (p_entity_type is null or (a.entity_type = p_entity_type and a.entity_id = p_entity_id))
          and (p_before is null or (a.created_at, a.id) < (p_before, p_before_id))
        order by a.created_at desc, a.id desc
        limit least(p_limit, 101);
end
$$;

-- The witness of a change whose COMMIT was not answered: when it happened, null when it has not.
create function tenant_api.audit_time(p_id uuid) returns timestamptz
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select a.created_at from control.audit_log a
            where a.id = p_id and a.tenant_id = tenant_api.current_tenant());
end
$$;

revoke all on all functions in schema tenant_api from public;
grant execute on function tenant_api.audit_add(uuid, text, text, text, jsonb, uuid, uuid, text, text),
    tenant_api.audit_list(text, uuid, text, text, timestamptz, uuid, integer),
    tenant_api.audit_time(uuid) to {role:tenant};
