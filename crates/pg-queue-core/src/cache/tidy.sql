-- Removes from one range of pages what has expired and what was not set or used since a moment, and says what is left. Flags,
-- whose keys begin with 255, only expire: to forget one would let a thing be done twice. They are not counted.
-- parameters: $1 first page, $2 page after the last, $3 the moment in microseconds since 1970 or null, $4 of which share of what
--   is left it is told when it was used last
-- rows: one: how many rows had expired and are removed, how many others are, how many values are left, their bytes, and when some
--   of them were used last, in microseconds since 1970
-- reads: the pages of the range only (TID range scans)    locks: the removed rows; skips those that somebody writes
with old as (
    select
        greatest(expires_at, kept_until, load_until) <= now() and (expires_at is not null or value is null) is true as expired,
        value is not null and load_until is null and get_byte(key, 0) <> 255
            and used_at < timestamptz '1970-01-01 00:00+00' + $3::bigint * interval '1 microsecond' is true as unused,
        value is not null and get_byte(key, 0) <> 255 as is_value, used_at,
        pg_column_size(key) + coalesce(pg_column_size(value), 0) + 100 as bytes
    from {cache}
    where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
),
gone as (
    delete from {cache} where ctid = any (array(
        select ctid from {cache}
        where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
            and (
                greatest(expires_at, kept_until, load_until) <= now() and (expires_at is not null or value is null)
                or value is not null and load_until is null and get_byte(key, 0) <> 255
                    and used_at < timestamptz '1970-01-01 00:00+00' + $3::bigint * interval '1 microsecond'
            )
        for update skip locked
    ))
    returning (greatest(expires_at, kept_until, load_until) <= now() and (expires_at is not null or value is null)) is true
        as expired
)
select
    (select count(*) from gone where expired), (select count(*) from gone where not expired),
    count(*), coalesce(sum(bytes), 0)::bigint,
    coalesce(array_agg((extract(epoch from used_at) * 1000000)::bigint) filter (where random() < $4), array[]::bigint[])
from old
where is_value and (expired or unused) is not true
