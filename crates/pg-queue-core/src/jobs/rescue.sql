-- Takes jobs from workers that do not run them: back into the queue, or into the history when their last attempt is spent or
-- somebody wants them cancelled.
--
-- Matches ids of workers that are known, the dead or the caller itself, never "not among the living": a job that was just
-- claimed by a worker that has just registered would look ownerless to an older snapshot. The dead never come back, so a
-- match stays true.
--
-- parameters: $1 ids of the workers
--             $2 null: they are dead, and have spent an attempt on each of their jobs; or all tokens under which the caller
--                knows that it holds jobs: it has claimed the others without learning of it, and spent nothing on them
--             $3 how many jobs at most
-- rows: (id, what became of it: 'return', 'discard' or 'cancel') of the rescued jobs
-- index: pg_queue_due_*, its due part (a running job is due)    locks: the rows; skips those that others have locked
-- relies on, when $2 is given: no claim of the caller being in flight
with orphaned as (
    select
        found.id,
        case
            when found.cancel_requested then 'cancel'
            when $2::bigint[] is null and found.spent then 'discard'
            else 'return'
        end as ending
    from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) as lane (priority)
    cross join lateral (
        select
            job.id,
            job.attempt >= job.max_attempts as spent,
            job.cancel_requested_at is not null as cancel_requested
        from {queue} as job
        where job.priority = lane.priority
          and job.run_at <= {now}
          and job.parked is null
          and job.lease_worker = any ($1::bigint[])
          and ($2::bigint[] is null or job.lease_token <> all ($2))
        order by job.run_at, job.id
        limit $3
        for update skip locked
    ) as found
    limit $3
),
-- By an array instead of a join: see complete.sql.
returned as (
    update {queue} as job
    set leased_at = null,
        lease_worker = null,
        lease_token = null,
        lease_until = null,
        progress = null,
        progress_note = null,
        attempt = case when $2::bigint[] is null then job.attempt else greatest(job.attempt - 1, 0) end,
        errors = case
            when $2::bigint[] is null then {schema}.pg_queue_add_error(job.errors, job.attempt,
                'worker ' || {schema}.pg_queue_worker_name(job.lease_worker) || ' died while it ran the job',
                job.lease_worker, {schema}.pg_queue_ms_since(job.leased_at))
            else job.errors
        end
    where job.id = any (array(select orphaned.id from orphaned where orphaned.ending = 'return'))
),
buried as (
    delete from {queue} as job
    where job.id = any (array(select orphaned.id from orphaned where orphaned.ending <> 'return'))
    returning job.*
),
kept as (
    insert into {schema}.pg_queue_history ({kept}, state, errors, started_at, worker, keep_until)
    select
        {kept},
        case when cancel_requested_at is null then 'discarded' else 'cancelled' end,
        {schema}.pg_queue_add_error(errors, attempt,
            'worker ' || {schema}.pg_queue_worker_name(lease_worker) || ' died while it ran the job',
            lease_worker, {schema}.pg_queue_ms_since(leased_at)),
        leased_at, lease_worker, {schema}.pg_queue_keep_discarded('{queue_name}')
    from buried
    -- Nothing is kept of a request whose caller has gone away.
    where request_id is null or cancel_requested_at is null
)
select id, ending from orphaned
