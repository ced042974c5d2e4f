-- Messages that are too long for a notification, for the minute in which subscribers fetch them. Unlogged: a crash of the server
-- loses what was on its way, as it does for the short ones.
create unlogged table {schema}.pg_queue_messages (
    -- Drawn by the publisher.
    id bigint primary key,
    sent_at timestamptz not null default now(),
    body json not null
)
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

create index pg_queue_messages_sent_at on {schema}.pg_queue_messages (sent_at);
