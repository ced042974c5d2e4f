-- Unique keys that are remembered for a time, whatever becomes of their jobs. Those that hold until their job has started
-- or finished are in the unique index of the queue, and not here.
create table {schema}.pg_queue_unique_keys (
    queue text not null,
    key text not null,
    job bigint not null,
    expires_at timestamptz not null,
    primary key (queue, key)
)
with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

create index pg_queue_unique_keys_expires_at on {schema}.pg_queue_unique_keys (expires_at);
