-- Removes values. A load that is on its way for one of these keys comes to nothing.
-- parameters: $1 keys in their order, $2 what those who keep values in memory are told, $3 whether the transaction commits
--   asynchronously    rows: one: how many values had not expired    index: primary key    locks: the rows, in their order
with held as (
    select key from {cache} where key = any ($1::bytea[]) order by key for update
),
gone as (
    delete from {cache} where key = any (array(select key from held)) returning value, expires_at
)
select
    count(*) filter (where value is not null and (expires_at is null or expires_at > now())),
    (select set_config('synchronous_commit', 'off', true) where $3),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $2))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
from gone
