-- A new tenant's tables in three ways: its migrations one by one, as one script, and as what they amount to.
-- 30 files, 10 tables with 3 indexes each, a transaction each: psql -f bench/provisioning_templates.sql (an empty database).
\set ON_ERROR_STOP on
create schema control;
create table control.tenant_migration(number int primary key, sql text not null);
insert into control.tenant_migration select i, format('create table {t}.r%1$s (id uuid primary key, name text not null check (length(name) between 1 and 200), body text, version integer not null default 1, created_at timestamptz not null default now()); create unique index r%1$s_name on {t}.r%1$s (name); create index r%1$s_age on {t}.r%1$s (created_at desc, id desc);', i) from generate_series(1,30) i where i % 3 = 1
 union all select i, format('alter table {t}.r%s add column extra%s text;', i - 1, i) from generate_series(1,30) i where i % 3 = 2
 union all select i, format('alter table {t}.r%s add check (version > 0);', i - 2) from generate_series(1,30) i where i % 3 = 0;
create function replay(s text) returns void language plpgsql as $$ declare m record; begin
 execute format('create schema %I', s);
 for m in select sql from control.tenant_migration order by number loop execute replace(m.sql, '{t}', quote_ident(s)); end loop; end $$;
create table template(sql text);
insert into template select string_agg(sql, '; ' order by number) from control.tenant_migration;
create function together(s text) returns void language plpgsql as $$ begin
 execute format('create schema %I', s);
 execute replace((select sql from template), '{t}', quote_ident(s)); end $$;
-- the third way: what the migrations amount to, without their history
create table squashed(sql text);
insert into squashed select string_agg(format('create table {t}.r%1$s (id uuid primary key, name text not null check (length(name) between 1 and 200), body text, version integer not null default 1 check (version > 0), created_at timestamptz not null default now(), extra%2$s text); create unique index r%1$s_name on {t}.r%1$s (name); create index r%1$s_age on {t}.r%1$s (created_at desc, id desc);', i, i+1), ' ') from generate_series(1,30) i where i%3=1;
create function amount(s text) returns void language plpgsql as $$ begin
 execute format('create schema %I', s);
 execute replace((select sql from squashed), '{t}', quote_ident(s)); end $$;
create table took(kind text, ms float8);
create procedure once(kind text, n int) language plpgsql as $$ declare b timestamptz; begin for i in 1..n loop
 b := clock_timestamp(); execute format('select %I(%L)', kind, kind || '_' || n || '_' || i || '_' || (random()*1e9)::int); commit;
 insert into took values (kind, extract(epoch from clock_timestamp() - b) * 1000); commit; end loop; end $$;
call once('replay', 5); call once('together', 5); call once('amount', 5); truncate took;
call once('replay', 20); call once('together', 20); call once('amount', 20);
call once('replay', 20); call once('together', 20); call once('amount', 20);
select kind, count(*), round(avg(ms)::numeric,1) mean_ms, round(percentile_cont(0.5) within group (order by ms)::numeric,1) median_ms from took group by 1 order by 4;
