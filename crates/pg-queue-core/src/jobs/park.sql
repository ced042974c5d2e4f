-- Parks due jobs whose kinds no live worker of the queue runs, so that no claim meets them again.
-- parameters: $1 the kinds that the caller runs, $2 how many jobs of each priority are looked at, from the head on
-- rows: the ids    index: pg_queue_due_*, its head    locks: the rows; skips locked ones
--
-- Only where claims look, so that its cost does not grow with the queue. A worker that registers at this moment, and knows
-- the kind, may not be seen: it unparks its kinds again and again. The row is locked by its id; said as `parked is null`, its last
-- condition would let PostgreSQL 18 look for the id in the due index, all through it.
update {queue} as job
set parked = 'kind'
where job.id = any (array(
    select held.id
    from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) as lane (priority)
    cross join lateral (
        select waiting.id, waiting.kind
        from {queue} as waiting
        where waiting.priority = lane.priority and waiting.run_at <= {now} and waiting.parked is null
        order by waiting.run_at, waiting.id
        limit $2
    ) as head
    cross join lateral (
        select found.id
        from {queue} as found
        where found.id = head.id and found.lease_token is null and num_nulls(found.parked) = 1
        for update skip locked
    ) as held
    where head.kind <> all ($1::text[])
      and not exists (
          select from {schema}.pg_queue_workers as worker
          where worker.dead_at is null and '{queue_name}' = any (worker.queues) and head.kind = any (worker.kinds)
      )
))
returning job.id
