-- Deletes jobs that do not run, without a trace.
-- parameters: $1 ids    rows: the ids of those that were deleted
-- index: primary key    locks: the rows; skips those that another transaction has locked
-- By an array: see complete.sql.
delete from {queue} as job
where job.id = any (array(
    select held.id
    from unnest($1::bigint[]) as wanted (id)
    cross join lateral (
        select found.id
        from {queue} as found
        where found.id = wanted.id and (found.lease_token is null or found.lease_until < {now})
        for update skip locked
    ) as held
))
returning job.id
