-- Removes some of the values whose keys lie in a range, the first ones.
-- parameters: $1 the first key, $2 the key after the last or null, $3 how many at most, $4 what those who keep values in memory
--   are told, $5 whether the transaction commits asynchronously
-- rows: one: how many rows are gone, and how many of their values had not expired
-- index: primary key    locks: the rows, in their order
with held as (
    select key from {cache} where key >= $1 and ($2::bytea is null or key < $2) order by key limit $3 for update
),
gone as (
    delete from {cache} where key = any (array(select key from held)) returning value, expires_at
)
select
    count(*), count(*) filter (where value is not null and (expires_at is null or expires_at > now())),
    (select set_config('synchronous_commit', 'off', true) where $5),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $4))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
from gone
