-- Ends attempts that failed: the job is tried again after its delay or, after its last attempt or when told so, is
-- discarded into the history. Its errors are kept either way.
-- parameters: $1 ids, $2 lease tokens, $3 errors, $4 delays in microseconds, $5 whether to discard at once
-- rows: (id, token, discarded) of the jobs that were ended    index: primary key
-- locks: the rows; skips those that another transaction has locked (held.sql tells them from lost ones)
-- Lateral, and with arrays beside the joins that bound what they read: see complete.sql.
with failing as (
    select held.id, failed.token, failed.error, failed.delay, failed.discard or held.spent as last
    from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::boolean[])
        as failed (id, token, error, delay, discard)
    cross join lateral (
        select job.id, job.attempt >= job.max_attempts as spent
        from {queue} as job
        where job.id = failed.id and job.lease_token = failed.token
        for update skip locked
    ) as held
),
retried as (
    update {queue} as job
    set lease_worker = null,
        lease_token = null,
        lease_until = null,
        run_at = now() + failing.delay * interval '1 microsecond',
        errors = {schema}.pg_queue_add_error(job.errors, job.attempt, failing.error)
    from failing
    where job.id = failing.id and not failing.last and job.id = any (array(select failing.id from failing))
),
discarded as (
    delete from {queue} as job
    using failing
    where job.id = failing.id and failing.last and job.id = any (array(select failing.id from failing))
    returning job.*, failing.error
),
kept as (
    insert into {schema}.pg_queue_history
        (id, run_at, created_at, priority, attempt, max_attempts, state, queue, kind, unique_key, request_id, errors, payload)
    select id, run_at, created_at, priority, attempt, max_attempts, 'discarded', queue, kind, unique_key, request_id,
        {schema}.pg_queue_add_error(errors, attempt, error), payload
    from discarded
)
select id, token, last from failing
