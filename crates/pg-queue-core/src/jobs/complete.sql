-- Completes jobs: they leave the table.
-- parameters: $1 ids, $2 lease tokens    rows: (id, token) of those that were completed
-- index: primary key    locks: the rows; skips those that another transaction has locked
-- An id that is not answered has lost its lease or is locked: held.sql tells which.
--
-- Lateral, and by an array instead of a join: a plan that was made while the queue was empty, and is kept by a prepared
-- statement, must not read the whole queue later.
delete from {queue} as job
where job.id = any (array(
    select held.id
    from unnest($1::bigint[], $2::bigint[]) as lease (id, token)
    cross join lateral (
        select found.id
        from {queue} as found
        where found.id = lease.id and found.lease_token = lease.token
        for update skip locked
    ) as held
))
returning job.id, job.lease_token
