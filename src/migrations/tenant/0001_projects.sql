-- The example resource. `{t}` is this tenant's schema.
create table {t}.projects (
    id uuid primary key,
    name text not null check (length(name) between 1 and 200),
    description text check (length(description) <= 1000),
    -- The ETag: raised by every change.
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index projects_name_taken on {t}.projects (name);
create index projects_by_age on {t}.projects (created_at desc, id desc);
