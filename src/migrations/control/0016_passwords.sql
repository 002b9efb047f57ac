-- A password becomes another one: by a link that was mailed, or by whoever knows the old one. Each is one transaction
-- with all that follows from it. The account's row is locked first, so that two at once wait for each other, and so that
-- a log-in, which takes the row for share, either sees the new password or has its session ended here.

-- By the token of a mail: used up, by exactly one of those who race. All sessions end. The token was sent to the
-- account's address, so whoever has it reads that mailbox: the address is verified. Raises IS006 when the token is
-- none (any more).
create function control.reset_password(p_user uuid, p_token bytea, p_hash text, p_audit uuid, p_verify_audit uuid,
                                       p_ip text, p_request text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_email text;
    v_verified boolean;
begin
    select a.email_canonical, a.email_verified_at is not null into v_email, v_verified from control.account a
        where a.id = p_user and a.active and a.released_at is null for no key update;
    update control.mail_token t set used_at = now()
        where t.hash = p_token and t.purpose = 'reset_password' and t.user_id = p_user and t.email_canonical = v_email
        and t.used_at is null and t.voided_at is null and t.expires_at > now();
    if not found then
        raise exception using errcode = 'IS006', message = 'the token cannot be used (any more)';
    end if;
    update control.mail_token t set voided_at = now()
        where t.user_id = p_user and t.purpose = 'reset_password' and t.used_at is null and t.voided_at is null;
    update control.account a set password_hash = p_hash, email_verified_at = coalesce(a.email_verified_at, now()),
            version = a.version + 1, updated_at = now()
        where a.id = p_user;
    perform control.end_user_sessions(p_user, null, 'password_reset');
    insert into control.audit_log (id, user_id, action, entity_type, entity_id, ip, request_id)
        values (p_audit, p_user, 'password.reset', 'user', p_user::text, p_ip, p_request);
    if not v_verified then
        insert into control.audit_log (id, user_id, action, entity_type, entity_id, ip, request_id)
            values (p_verify_audit, p_user, 'user.email_verify', 'user', p_user::text, p_ip, p_request);
    end if;
end
$$;

-- By somebody in a session, whose old password was checked against p_old: all other sessions end, and links that were
-- mailed are void. Raises IS001 when the session is over, IS007 when the password is another one by now.
create function control.change_password(p_user uuid, p_session uuid, p_version integer, p_old text, p_new text,
                                        p_audit uuid, p_tenant uuid, p_ip text, p_request text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from control.account a
        where a.id = p_user and a.active and a.released_at is null and a.password_hash = p_old for no key update;
    if not found then
        raise exception using errcode = 'IS007', message = 'the password is another one by now';
    end if;
    perform from control.session s
        where s.id = p_session and s.user_id = p_user and s.version = p_version
        and s.operator_user_id is null and s.ended_at is null and s.expires_at > now();
    if not found then
        raise exception using errcode = 'IS001', message = 'session ' || p_session || ' is over';
    end if;
    update control.mail_token t set voided_at = now()
        where t.user_id = p_user and t.purpose = 'reset_password' and t.used_at is null and t.voided_at is null;
    update control.account a set password_hash = p_new, version = a.version + 1, updated_at = now() where a.id = p_user;
    perform control.end_user_sessions(p_user, p_session, 'password_change');
    insert into control.audit_log (id, tenant_id, user_id, action, entity_type, entity_id, ip, request_id)
        values (p_audit, p_tenant, p_user, 'password.change', 'user', p_user::text, p_ip, p_request);
end
$$;

revoke all on function control.reset_password(uuid, bytea, text, uuid, uuid, text, text),
    control.change_password(uuid, uuid, integer, text, text, uuid, uuid, text, text) from public;
grant execute on function control.reset_password(uuid, bytea, text, uuid, uuid, text, text),
    control.change_password(uuid, uuid, integer, text, text, uuid, uuid, text, text) to {role:app};
