-- How long until the next job that is not due yet, or has become due since the caller began to look for due ones.
-- parameters: $1 how long ago that was, in microseconds
-- rows: one: microseconds, or null when there is none    index: pg_queue_due_*, one row per priority and those that run since then
-- A job at 'infinity' is never due, and its distance is no number.
select (extract(epoch from min(next.run_at) - {now}) * 1000000)::bigint
from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) as lane (priority)
cross join lateral (
    select later.run_at
    from {queue} as later
    where later.priority = lane.priority
      and later.run_at > {now} - $1 * interval '1 microsecond' and later.run_at < 'infinity'
      and later.parked is null and later.lease_token is null
    order by later.run_at, later.id
    limit 1
) as next
