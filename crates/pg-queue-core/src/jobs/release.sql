-- Gives claimed jobs back as if they had not been claimed: the attempt is not counted.
-- parameters: $1 ids, $2 lease tokens, $3 delays in microseconds (null: run_at stays), $4 errors to note (null: none)
-- rows: (id, token) of those that were given back    index: primary key
-- locks: the rows; skips those that another transaction has locked (held.sql tells them from lost ones)
-- Lateral, and with an array beside the join that bounds what it reads: see complete.sql.
with given as (
    select held.id, lease.token, lease.delay, lease.error
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) as lease (id, token, delay, error)
    cross join lateral (
        select found.id
        from {queue} as found
        where found.id = lease.id and found.lease_token = lease.token
        for update skip locked
    ) as held
)
update {queue} as job
set lease_worker = null,
    lease_token = null,
    lease_until = null,
    attempt = greatest(job.attempt - 1, 0),
    run_at = case when given.delay is null then job.run_at else now() + given.delay * interval '1 microsecond' end,
    errors = case
        when given.error is null then job.errors
        else {schema}.pg_queue_add_error(job.errors, job.attempt, given.error)
    end
from given
where job.id = given.id and job.id = any (array(select given.id from given))
returning job.id, given.token
