-- How many jobs a queue has in each state.
-- parameters: none
-- rows: one: scheduled, waiting, parked, running, to be cancelled, since when the oldest waiting one is due
-- walks the whole queue
-- A job from '-infinity' on has been due since no moment that could be told.
select
    count(*) filter (where state = 'scheduled'),
    count(*) filter (where state = 'waiting'),
    count(*) filter (where state = 'parked'),
    count(*) filter (where state = 'running'),
    count(*) filter (where state = 'running' and cancel_requested_at is not null),
    (extract(epoch from {now} - min(run_at) filter (where state = 'waiting' and run_at > '-infinity')) * 1000000)::bigint
from (
    select
        run_at, cancel_requested_at,
        case
            when lease_token is not null and (lease_until is null or lease_until >= {now}) then 'running'
            when parked is not null then 'parked'
            when run_at > {now} then 'scheduled'
            else 'waiting'
        end as state
    from {queue}
) as job
