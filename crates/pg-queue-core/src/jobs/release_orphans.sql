-- Takes back what a worker claimed without learning of it: the reply to its claim was lost. The attempt is not counted.
-- parameters: $1 the worker's own id, $2 the tokens of all jobs that it knows it holds    rows: the ids
-- index: pg_queue_due_*, its due part    relies on: no claim of this worker being in flight
update {queue} as job
set lease_worker = null,
    lease_token = null,
    lease_until = null,
    attempt = greatest(job.attempt - 1, 0)
where job.id = any (array(
    select orphan.id
    from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) as lane (priority)
    cross join lateral (
        select held.id
        from {queue} as held
        where held.priority = lane.priority
          and held.run_at <= now()
          and held.parked is null
          and held.lease_worker = $1
          and held.lease_token <> all ($2::bigint[])
        order by held.run_at, held.id
        for update skip locked
    ) as orphan
))
returning job.id
