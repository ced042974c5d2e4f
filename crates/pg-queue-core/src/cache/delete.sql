-- Removes a value.
-- parameters: $1 key    rows: one, if there was a value that had not expired    index: primary key
with gone as (
    delete from {schema}.pg_queue_cache where key = $1 returning expires_at
)
select true from gone where expires_at is null or expires_at > now()
