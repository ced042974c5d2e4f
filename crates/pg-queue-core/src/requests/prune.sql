-- Removes requests that nobody has taken and whose callers do not wait any longer: those of processes that are gone.
-- parameters: none    rows: none
-- index: pg_queue_due_*, and pg_queue_park_* for those whose kind nobody runs    locks: the rows; skips those that others have
-- Looks at the first thousand of each priority only: what is too late is old, and a long queue of jobs is not walked over.
delete from {queue} as job
where job.id = any (array(
    select late.id
    from unnest('{0,1,2,3,4,5,6,7,8,9}'::smallint[]) as lane (priority)
    cross join lateral (
        select waiting.id, waiting.request_id, waiting.lease_token, waiting.created_at, waiting.timeout_ms
        from {queue} as waiting
        where waiting.priority = lane.priority and waiting.run_at <= {now} and waiting.parked is null
        order by waiting.run_at, waiting.id
        limit 1000
    ) as late
    where late.request_id is not null and late.lease_token is null
      and late.created_at + late.timeout_ms * interval '1 millisecond' < {now} - interval '1 second'
    union all
    (
        select parked.id
        from {queue} as parked
        where parked.parked is not null and parked.request_id is not null and parked.lease_token is null
          and parked.created_at + parked.timeout_ms * interval '1 millisecond' < {now} - interval '1 second'
        limit 1000
    )
))
-- Whoever has taken it since the look has it.
and job.lease_token is null
