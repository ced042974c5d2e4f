-- Which migrations a database has. One row each; `breaking` says that libraries older than the migration must not go on.
-- parameters: none    rows: none
create table {schema}.pg_queue_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    breaking boolean not null,
    applied_at timestamptz not null default now()
);
