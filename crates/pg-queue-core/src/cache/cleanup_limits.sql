-- Removes buckets that are full, as those are that are not there, from one range of pages.
-- parameters: $1 first page, $2 page after the last    rows: one: how many were removed
-- reads: the pages of the range only (a TID range scan)    locks: the rows; skips those that somebody writes
with gone as (
    delete from {schema}.pg_queue_limits where ctid = any (array(
        select ctid from {schema}.pg_queue_limits
        where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid and full_at <= now()
        for update skip locked
    ))
    returning 1
)
select count(*) from gone
