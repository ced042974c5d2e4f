-- Makes waiting jobs due now.
-- parameters: $1 ids    rows: the ids of those that wait    index: primary key    locks: the rows; skips locked ones
-- Lateral, and by an array: see complete.sql.
update {queue} as job
set run_at = least(job.run_at, {now}), parked = null
where job.id = any (array(
    select held.id
    from unnest($1::bigint[]) as wanted (id)
    cross join lateral (
        select found.id
        from {queue} as found
        where found.id = wanted.id and found.lease_token is null
        for update skip locked
    ) as held
))
returning job.id
