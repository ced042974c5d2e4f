-- Worker processes, and which of them wait to be woken.
--
-- A worker's id is 64 random bits per process life, so that a restarted process never inherits its predecessor's
-- leases. Liveness is `beat`, a number: whoever has watched it stand still for `beat_interval_ms` * 3 on its own
-- monotonic clock may set `dead_at`. No clock is compared with another one. A dead worker never comes back: it takes a
-- new id. Dead rows stay for a day, because a claim that the dead worker sent may still commit after its death.
create table {schema}.pg_queue_workers (
    id bigint primary key,
    beat bigint not null default 0,
    started_at timestamptz not null default now(),
    dead_at timestamptz,
    beat_interval_ms integer not null check (beat_interval_ms > 0),
    name text not null,
    queues text[] not null,
    kinds text[] not null
)
-- Every row is updated every few seconds: room for HOT updates, and a vacuum that does not wait for 50 dead rows.
with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100, vacuum_truncate = off);

-- Who wants a NOTIFY when jobs arrive in a queue, and until when. Read by the trigger of every queue, written by idle
-- workers only, so that a busy queue sends no NOTIFY at all. Unlogged: losing it costs latency, never a job.
create unlogged table {schema}.pg_queue_waiters (
    queue text not null,
    worker bigint not null,
    until timestamptz not null,
    primary key (queue, worker)
)
with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100, vacuum_truncate = off);
