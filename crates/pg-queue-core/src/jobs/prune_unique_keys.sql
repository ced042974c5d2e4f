-- Forgets unique keys whose time is over.
-- parameters: $1 how many at most    rows: one: how many it forgot    index: pg_queue_unique_keys_expires_at
-- locks: the rows; skips locked ones, which somebody is about to renew
with forgotten as (
    delete from {schema}.pg_queue_unique_keys
    where (queue, key) in (
        select queue, key from {schema}.pg_queue_unique_keys
        where expires_at <= {now}
        order by expires_at
        limit $1
        for update skip locked
    )
    returning 1
)
select count(*) from forgotten
