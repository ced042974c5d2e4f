-- Discards jobs whose hand-driven consumer let the lease of their last attempt run out.
-- parameters: none    rows: the ids    index: pg_queue_due_*, its due part    locks: the rows; skips locked ones
with expired as (
    select found.id
    from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) as lane (priority)
    cross join lateral (
        select job.id
        from {queue} as job
        where job.priority = lane.priority
          and job.run_at <= now()
          and job.parked is null
          and job.lease_until < now()
          and job.attempt >= job.max_attempts
        order by job.run_at, job.id
        for update skip locked
    ) as found
),
discarded as (
    -- By an array instead of a join: see complete.sql.
    delete from {queue} as job where job.id = any (array(select expired.id from expired)) returning job.*
),
kept as (
    insert into {schema}.pg_queue_history
        (id, run_at, created_at, priority, attempt, max_attempts, state, queue, kind, unique_key, request_id, errors, payload)
    select id, run_at, created_at, priority, attempt, max_attempts, 'discarded', queue, kind, unique_key, request_id,
        {schema}.pg_queue_add_error(errors, attempt, 'the lease ran out and was not extended'), payload
    from discarded
)
select id from expired
