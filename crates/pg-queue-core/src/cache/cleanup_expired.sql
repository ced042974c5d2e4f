-- Removes expired values from one range of pages; walking range after range keeps each step short.
-- parameters: $1 first page, $2 page after the last    rows: one: how many were removed
-- reads: the pages of the range only (a TID range scan)
with gone as (
    delete from {schema}.pg_queue_cache
    where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid and expires_at <= now()
    returning 1
)
select count(*) from gone
