-- Replies on their way from a responder to the caller that waits. Unlogged: a caller does not survive the crash of the
-- server either, since its connection breaks and its call ends with an error.
create unlogged table {schema}.pg_queue_replies (
    request_id uuid primary key,
    -- A reply that nobody fetched is removed after this.
    expires_at timestamptz not null,
    body json not null
)
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

create index pg_queue_replies_expires_at on {schema}.pg_queue_replies (expires_at);
