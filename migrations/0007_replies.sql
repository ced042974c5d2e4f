-- Replies on their way from a responder to the caller that waits. Unlogged: a caller does not survive the crash of the
-- server either, since its connection breaks and its call ends with an error.
create unlogged table {schema}.pg_queue_replies (
    request_id uuid primary key,
    -- A reply that nobody fetched is removed after this.
    expires_at timestamptz not null,
    -- What the reply is: 'ok' for the response, 'error' for the responder's own error, others for what went wrong instead.
    status text not null default 'ok',
    -- JSON. Not of that type: nobody but its caller reads it, and a parse would cost more than the insert.
    body text not null
)
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

create index pg_queue_replies_expires_at on {schema}.pg_queue_replies (expires_at);
