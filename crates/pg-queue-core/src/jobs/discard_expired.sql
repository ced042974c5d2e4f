-- Ends jobs whose hand-driven consumer let the lease run out, if nobody is to have them again: because it was that of their
-- last attempt, or because they are to be cancelled.
-- In a paused queue they stay: there, all that is due waits, and whoever finds nothing to pop would walk through it each time.
-- parameters: $1 how many at most    rows: the ids
-- index: pg_queue_due_*, its due part    locks: the rows; skips locked ones
with expired as (
    select found.id
    from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) as lane (priority)
    cross join lateral (
        select job.id
        from {queue} as job
        where job.priority = lane.priority
          and job.run_at <= {now}
          and job.parked is null
          and job.lease_until < {now}
          and (job.attempt >= job.max_attempts or job.cancel_requested_at is not null)
        order by job.run_at, job.id
        limit $1
        for update skip locked
    ) as found
    where not exists (
        select from {schema}.pg_queue_queues as queue where queue.name = '{queue_name}' and queue.paused_at is not null
    )
    limit $1
),
buried as (
    -- By an array instead of a join: see complete.sql.
    delete from {queue} as job where job.id = any (array(select expired.id from expired)) returning job.*
),
kept as (
    insert into {schema}.pg_queue_history ({kept}, state, errors, started_at, worker, keep_until)
    select
        {kept},
        case when cancel_requested_at is null then 'discarded' else 'cancelled' end,
        {schema}.pg_queue_add_error(errors, attempt, 'the lease ran out and was not extended', lease_worker,
            {schema}.pg_queue_ms_since(leased_at)),
        leased_at, lease_worker, {schema}.pg_queue_keep_discarded('{queue_name}')
    from buried
    -- Nothing is kept of a request whose caller has gone away.
    where request_id is null or cancel_requested_at is null
)
select id from expired
