-- Takes due jobs under a lease, the lowest priority number and the oldest run_at first. The hottest statement there is.
--
-- parameters: $1 worker id, or null for a hand-driven consumer
--             $2 lease token, 64 random bits drawn for this call
--             $3 how long the lease stands, in microseconds; null for a worker, whose heartbeat keeps it
--             $4 the kinds to take; null takes all
--             $5 how many at most
-- rows: the claimed jobs, in no order (RETURNING follows the place on disk: sort); none while the queue is paused
-- index: pg_queue_due_*, one bounded walk per priority; lanes are walked lazily, so a full one ends the search
-- locks: the claimed rows; rows that others have locked are skipped
--
-- Relies on: seqscan, bitmapscan and sort being switched off (the statistics of a queue are always wrong); enable_tidscan
-- being on; being a transaction of its own, because a claim with an old snapshot may keep locks on rows that it did not
-- get. The update changes no indexed column, so it is HOT; except where a unique key is given up at the start.
--
-- A lease without a worker that has run out is claimed like a waiting job, while the job has attempts left and nobody wants
-- it cancelled. Fewer rows than asked for do not mean an empty queue: a row that was changed since the snapshot is passed
-- over.
update {queue} as job
set leased_at = {now},
    lease_worker = $1,
    lease_token = $2,
    lease_until = {now} + $3 * interval '1 microsecond',
    attempt = job.attempt + 1,
    unique_key = case when job.unique_while_waiting then null else job.unique_key end
where job.ctid = any (array(
    select due.ctid
    from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) as lane (priority)
    cross join lateral (
        select waiting.ctid
        from {queue} as waiting
        where waiting.priority = lane.priority
          and waiting.run_at <= {now}
          and waiting.parked is null
          and (
              waiting.lease_token is null
              or (
                  waiting.lease_until < {now}
                  and waiting.attempt < waiting.max_attempts
                  and waiting.cancel_requested_at is null
              )
          )
          and ($4::text[] is null or waiting.kind = any ($4))
        order by waiting.run_at, waiting.id
        limit $5
        for update skip locked
    ) as due
    where not exists (
        select from {schema}.pg_queue_queues as queue where queue.name = '{queue_name}' and queue.paused_at is not null
    )
    limit $5
))
returning job.id, job.attempt, job.max_attempts, job.priority, job.kind, job.payload::text, job.run_at, job.created_at,
    job.request_id, job.timeout_ms, job.tags, job.metadata::text
