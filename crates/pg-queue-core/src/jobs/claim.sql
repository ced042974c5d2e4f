-- Takes due jobs under a lease, the lowest priority number and the oldest run_at first. The hottest statement there is.
--
-- parameters: $1 worker id, or null for a hand-driven consumer
--             $2 lease token, 64 random bits drawn for this call
--             $3 how long the lease stands, in microseconds; null for a worker, whose heartbeat keeps it
--             $4 the kinds to take; null takes all
--             $5 how many at most
--             $6, $7 floors: for each priority from 0 to 9, in microseconds since 2000, the run_at and the id from which on to
--                look; null is from the first
--             $8 whether to sweep: to look from the first on, whatever the floors say, unless somebody sweeps this queue now
-- rows: the claimed jobs, in no order (RETURNING follows the place on disk: sort); none while the queue is paused
-- index: pg_queue_due_*, one bounded walk per priority; lanes are walked lazily, so a full one ends the search
-- locks: the claimed rows; rows that others have locked are skipped. A sweep takes an advisory lock, and does not wait for it
--
-- Relies on: seqscan, bitmapscan and sort being switched off (the statistics of a queue are always wrong); enable_tidscan
-- being on; being a transaction of its own, because a claim with an old snapshot may keep locks on rows that it did not
-- get. The update changes no indexed column, so it is HOT; except where a unique key is given up at the start.
--
-- A lease without a worker that has run out is claimed like a waiting job, while the job has attempts left and nobody wants
-- it cancelled. Fewer rows than asked for do not mean an empty queue: a row that was changed since the snapshot is passed
-- over.
--
-- A floor spares the walk over what was claimed and completed before, whose index entries stay for as long as anybody holds an
-- older snapshot. It is a hint: it is kept 200 ms behind the clock, for transactions that commit in another order than they
-- began, and a clock that was set back puts it out of force. What is below it all the same waits for a sweep. One
-- sweeper at a time is enough: each would walk over the same garbage.
update {queue} as job
set leased_at = {now},
    lease_worker = $1,
    lease_token = $2,
    lease_until = {now} + $3 * interval '1 microsecond',
    attempt = job.attempt + 1,
    unique_key = case when job.unique_while_waiting then null else job.unique_key end
where job.ctid = any (array(
    select due.ctid
    from (
        select
            floor.priority,
            case when floor.holds then least(floor.run_at, {now} - interval '200 milliseconds') else '-infinity' end as run_at,
            case when floor.holds and floor.run_at <= {now} - interval '200 milliseconds' then floor.id else 0 end as id
        from (
            select given.priority, given.id, moment.run_at, moment.run_at <= {now} and not (
                select case
                    when $8 then pg_try_advisory_xact_lock(hashtextextended('{schema}.queue_{queue_name}', 0))
                    else false
                end
            ) as holds
            from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[], $6::bigint[], $7::bigint[]) as given (priority, micros, id)
            cross join lateral (
                select timestamptz '2000-01-01 00:00:00+00' + given.micros * interval '1 microsecond' as run_at
            ) as moment
        ) as floor
    ) as lane
    cross join lateral (
        select waiting.ctid
        from {queue} as waiting
        where waiting.priority = lane.priority
          and (waiting.run_at, waiting.id) >= (lane.run_at, lane.id)
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
returning job.id, job.attempt, job.max_attempts, job.priority, job.kind, job.payload, job.run_at, job.created_at,
    job.request_id, job.timeout_ms, job.tags, job.metadata, job.ctid{told},
    case when job.request_id is not null then (extract(epoch from job.leased_at - job.created_at) * 1000)::bigint end
