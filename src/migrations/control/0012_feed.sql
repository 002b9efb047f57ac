-- The revocation feed: what every process must hear of within a second (docs/decisions/0007). Sessions that ended or
-- aged, tenants that changed their state, accounts that were closed, signing keys. Triggers write it, so whatever
-- program changes one of these is heard of, psql included, and nobody else writes it.
--
-- Numbers are given in the order of commits and without gaps, which a sequence would not do: a reader that saw 7 could
-- then miss 6, whose transaction was slower. So they come from one row, locked until the commit is done; and because
-- everybody would wait for that lock, it is taken last of all, by a trigger that fires at COMMIT, when nothing is left
-- to wait for. A transaction gets one number however much it changed, so the lock is as short for 10,000 sessions.

create table control.feed_counter (
    only_row boolean primary key default true check (only_row),
    last bigint not null default 0
) with (fillfactor = 10);
insert into control.feed_counter default values;

-- A transaction that revoked something. Its time belongs to its name: a restored database counts transactions anew.
create table control.feed_batch (
    xact xid8 not null default pg_current_xact_id(),
    began_at timestamptz not null default now(),
    -- Null until it commits, so nobody ever sees that.
    number bigint,
    changes integer,
    numbered_at timestamptz,
    primary key (xact, began_at)
);
create unique index feed_batch_number on control.feed_batch (number);

create table control.feed_change (
    xact xid8 not null default pg_current_xact_id(),
    began_at timestamptz not null default now(),
    kind text not null,
    -- Null for a key: whoever hears of one reads them all.
    subject uuid,
    -- A session's version, null when it ended; a tenant's state; an account that is `closed` or `open`; a key's kid.
    value text
);
create index feed_change_by_batch on control.feed_change (xact, began_at);

create function control.number_feed_batch() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_changes integer;
    v_number bigint;
begin
    select count(*) into v_changes
        from control.feed_change c where c.xact = new.xact and c.began_at = new.began_at;
    update control.feed_counter set last = last + 1 returning last into v_number;
    update control.feed_batch b set number = v_number, changes = v_changes, numbered_at = clock_timestamp()
        where b.xact = new.xact and b.began_at = new.began_at;
    perform pg_notify('insula_feed', '');
    return null;
end
$$;
create constraint trigger number_at_commit after insert on control.feed_batch
    deferrable initially deferred for each row execute function control.number_feed_batch();

create function control.add_to_feed(p_kind text, p_subject uuid, p_value text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into control.feed_batch default values on conflict do nothing;
    insert into control.feed_change (kind, subject, value) values (p_kind, p_subject, p_value);
end
$$;

-- Only what is heard of costs anything: a refresh or a login changes neither column.
create function control.feed_session() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' or new.ended_at is not null then
        perform control.add_to_feed('session', old.id, null);
    else
        perform control.add_to_feed('session', new.id, new.version::text);
    end if;
    return null;
end
$$;
create trigger feed_change after update on control.session for each row
    when (old.ended_at is distinct from new.ended_at or old.version <> new.version)
    execute function control.feed_session();
create trigger feed_delete after delete on control.session for each row
    when (old.ended_at is null and old.expires_at > now())
    execute function control.feed_session();

create function control.feed_tenant() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform control.add_to_feed('tenant', new.id, new.status);
    return null;
end
$$;
create trigger feed_change after update on control.tenant for each row
    when (old.status <> new.status) execute function control.feed_tenant();

-- An account that is closed, or released by a registration that failed, takes its sessions with it, and those in which
-- it acts for somebody else. It is in the feed itself, too: a login that had looked before may make a session behind
-- this.
create function control.feed_account() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_open boolean := new.active and new.released_at is null;
begin
    perform control.add_to_feed('account', new.id, case when v_open then 'open' else 'closed' end);
    if not v_open then
        perform control.end_user_sessions(new.id, null, 'account_closed');
    end if;
    return null;
end
$$;
create trigger feed_change after update on control.account for each row
    when ((old.active and old.released_at is null) <> (new.active and new.released_at is null))
    execute function control.feed_account();

create function control.feed_key() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform control.add_to_feed('key', null, coalesce(new.kid, old.kid));
    return null;
end
$$;
create trigger feed_change after insert or update or delete on control.signing_key for each row
    execute function control.feed_key();

-- For a process whose feed is silent: the key that signed is still one of ours.
create function control.assert_key(p_kid text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from control.signing_key k where k.kid = p_kid and k.state <> 'revoked') then
        raise exception using errcode = 'IS001', message = 'signing key ' || p_kid || ' is revoked';
    end if;
end
$$;

-- One at a time, or two that rotate at once would both find the same key active. Answers the key that was active.
create function control.rotate_signing_key(p_audit uuid, p_kid text, p_algorithm text, p_sealed bytea) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text;
begin
    lock table control.signing_key in share row exclusive mode;
    update control.signing_key k set state = 'retiring', changed_at = now() where k.state = 'active'
        returning k.kid into v_before;
    insert into control.signing_key (kid, algorithm, state, sealed_private)
        values (p_kid, p_algorithm, 'active', p_sealed);
    insert into control.audit_log (id, action, entity_type, entity_id, request_id, changes)
        values (p_audit, 'key.rotate', 'key', p_kid, 'command-line',
                jsonb_build_object('algorithm', p_algorithm, 'before', v_before));
    return v_before;
end
$$;

-- What the key was; null: there is no such key. The active one gets a successor in the same transaction: there is
-- no moment in which the revoked key still counts, and none in which nobody can log in.
create function control.revoke_signing_key(
    p_audit uuid, p_kid text, p_next_kid text, p_next_algorithm text, p_next_sealed bytea) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_was text;
begin
    lock table control.signing_key in share row exclusive mode;
    select k.state into v_was from control.signing_key k where k.kid = p_kid;
    if v_was is null or v_was = 'revoked' then
        return v_was;
    end if;
    update control.signing_key k set state = 'revoked', changed_at = now() where k.kid = p_kid;
    if v_was = 'active' then
        insert into control.signing_key (kid, algorithm, state, sealed_private)
            values (p_next_kid, p_next_algorithm, 'active', p_next_sealed);
    end if;
    insert into control.audit_log (id, action, entity_type, entity_id, request_id, changes)
        values (p_audit, 'key.revoke', 'key', p_kid, 'command-line',
                jsonb_build_object('was', v_was, 'next', case when v_was = 'active' then p_next_kid end));
    return v_was;
end
$$;

-- An hour is four lives of an access token: nobody looks for older rows, and whoever missed some loads afresh. Only
-- those before the first younger one: the clock may have been wrong for a while, and a hole is never filled again.
create function control.clean_feed(p_limit integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    with old as (delete from control.feed_batch b
                 where b.number in (select o.number from control.feed_batch o
                                    where o.number < coalesce((select min(k.number) from control.feed_batch k
                                                               where k.numbered_at >= now() - interval '1 hour'),
                                                              9223372036854775807)
                                    order by o.number limit p_limit)
                 returning b.xact, b.began_at),
         gone as (delete from control.feed_change c using old
                  where c.xact = old.xact and c.began_at = old.began_at)
    select count(*) into v_count from old;
    return v_count;
end
$$;

-- A key that retired an hour ago has nothing left to verify and could only serve whoever stole it. Revoked ones stay
-- a month to be seen in the list; a token under a key that is gone is refused as one under a key that never was.
create function control.clean_keys(p_limit integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    lock table control.signing_key in share row exclusive mode;
    with over as (update control.signing_key k set state = 'revoked', changed_at = now()
                  where k.kid in (select r.kid from control.signing_key r
                                  where r.state = 'retiring' and r.changed_at < now() - interval '1 hour'
                                  limit p_limit)
                  returning k.kid)
    insert into control.audit_log (id, action, entity_type, entity_id, changes)
        select gen_random_uuid(), 'key.revoke', 'key', over.kid, jsonb_build_object('was', 'retiring') from over;
    get diagnostics v_count = row_count;
    delete from control.signing_key k
        where k.state = 'revoked' and k.changed_at < now() - interval '30 days';
    return v_count;
end
$$;

grant select on control.feed_counter, control.feed_batch, control.feed_change to {role:app};
revoke all on function control.number_feed_batch(), control.add_to_feed(text, uuid, text), control.feed_session(),
    control.feed_tenant(), control.feed_account(), control.feed_key(), control.assert_key(text),
    control.rotate_signing_key(uuid, text, text, bytea),
    control.revoke_signing_key(uuid, text, text, text, bytea), control.clean_feed(integer),
    control.clean_keys(integer) from public;
grant execute on function control.assert_key(text), control.rotate_signing_key(uuid, text, text, bytea),
    control.revoke_signing_key(uuid, text, text, text, bytea) to {role:app};
grant execute on function control.clean_feed(integer), control.clean_keys(integer) to {role:worker};
