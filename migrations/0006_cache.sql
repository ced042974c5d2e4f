-- The cache: values with a time to live. Unlogged: fast to write, and emptied by a crash of the server, as a cache may be.
--
-- No index on expires_at: it would turn every renewed value into a non-HOT update. Expired rows are invisible to reads
-- and are removed by walking the table in bounded steps.
create unlogged table {schema}.pg_queue_cache (
    -- Keys above 512 bytes are stored as their SHA-256.
    key text primary key,
    expires_at timestamptz,
    value bytea not null
)
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);
