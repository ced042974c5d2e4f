-- Completes jobs: they leave the table.
-- parameters: $1 ids, $2 lease tokens    rows: the ids that were completed
-- index: primary key    locks: the rows; skips those that another transaction has locked
-- An id that is not answered has lost its lease or is locked: held.sql tells which.
delete from {queue} as job
using (
    select held.id
    from unnest($1::bigint[], $2::bigint[]) as lease (id, token)
    join {queue} as held on held.id = lease.id and held.lease_token = lease.token
    for update of held skip locked
) as done
where job.id = done.id
returning job.id
