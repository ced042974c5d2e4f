-- Takes jobs from dead workers: back into the queue, or into the history when their last attempt is spent.
--
-- Matches ids of the dead only, never "not among the living": a job that was just claimed by a worker that has just
-- registered would look ownerless to an older snapshot. The dead never come back, so a match stays true.
--
-- parameters: $1 ids of dead workers, $2 how many jobs at most    rows: (id, discarded) of the rescued jobs
-- index: pg_queue_due_*, its due part (a running job is due)    locks: the rows; skips those that others have locked
with orphaned as (
    select found.id, found.last
    from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) as lane (priority)
    cross join lateral (
        select job.id, job.attempt >= job.max_attempts as last
        from {queue} as job
        where job.priority = lane.priority
          and job.run_at <= now()
          and job.parked is null
          and job.lease_worker = any ($1::bigint[])
        order by job.run_at, job.id
        limit $2
        for update skip locked
    ) as found
    limit $2
),
-- By an array instead of a join: see complete.sql.
returned as (
    update {queue} as job
    set lease_worker = null,
        lease_token = null,
        lease_until = null,
        errors = {schema}.pg_queue_add_error(job.errors, job.attempt,
            'worker ' || lpad(to_hex(job.lease_worker), 16, '0') || ' died while it ran the job')
    where job.id = any (array(select orphaned.id from orphaned where not orphaned.last))
),
discarded as (
    delete from {queue} as job
    where job.id = any (array(select orphaned.id from orphaned where orphaned.last))
    returning job.*
),
kept as (
    insert into {schema}.pg_queue_history
        (id, run_at, created_at, priority, attempt, max_attempts, state, queue, kind, unique_key, request_id, errors, payload)
    select id, run_at, created_at, priority, attempt, max_attempts, 'discarded', queue, kind, unique_key, request_id,
        {schema}.pg_queue_add_error(errors, attempt,
            'worker ' || lpad(to_hex(lease_worker), 16, '0') || ' died while it ran the job'),
        payload
    from discarded
)
select id, last from orphaned
