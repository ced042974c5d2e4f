-- Removes some of the values that have a tag, in a range of keys.
-- parameters: $1 tag, $2 the first key, $3 the key after the last or null, $4 how many at most, $5 what those who keep values in
--   memory are told, $6 whether the transaction commits asynchronously
-- rows: one: how many rows are gone, and how many of their values had not expired
-- index: the one over tags    locks: the rows, in their keys' order
with held as (
    select key from {cache}
    where tags is not null and tags @> array[$1::text] and key >= $2 and ($3::bytea is null or key < $3)
    order by key limit $4 for update
),
gone as (
    delete from {cache} where key = any (array(select key from held)) returning value, expires_at
)
select
    count(*), count(*) filter (where value is not null and (expires_at is null or expires_at > now())),
    (select set_config('synchronous_commit', 'off', true) where $6),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $5))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
from gone
