-- A value that has not expired.
-- parameters: $1 key    rows: one or none    index: primary key
select value from {schema}.pg_queue_cache where key = $1 and (expires_at is null or expires_at > now())
