-- Removes what has expired from one range of pages; walking range after range keeps each step short.
-- parameters: $1 first page, $2 page after the last    rows: one: how many values were removed
-- reads: the pages of the range only (a TID range scan)    locks: the rows; skips those that somebody writes
with gone as (
    delete from {cache} where ctid = any (array(
        select ctid from {cache}
        where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
            and greatest(expires_at, kept_until, load_until) <= now() and (expires_at is not null or value is null)
        for update skip locked
    ))
    returning value
)
select count(value) from gone
