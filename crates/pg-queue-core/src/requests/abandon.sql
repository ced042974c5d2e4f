-- Takes requests back for whose replies nobody waits any longer: those that nobody has taken are removed; those that run are
-- marked, and their workers told.
-- parameters: $1 ids    rows: (id, whether it runs) of those that are there
-- index: primary key    locks: the rows, waiting for whoever has locked them
-- As cancel.sql, but that nothing is left behind of them.
with found as (
    select wanted.id, held.runs
    from unnest($1::bigint[]) as wanted (id)
    cross join lateral (
        select job.lease_token is not null as runs from {queue} as job where job.id = wanted.id for update
    ) as held
),
marked as (
    update {queue} as job
    set cancel_requested_at = coalesce(job.cancel_requested_at, {now})
    where job.id = any (array(select found.id from found where found.runs))
    returning job.id
),
told as (
    select pg_notify('pg_queue.{schema_name}', 'cancel:{queue_name}:' || marked.id) from marked
),
removed as (
    delete from {queue} as job
    where job.id = any (array(select found.id from found where not found.runs))
)
-- Counted, because what nobody asks for is not done.
select found.id, found.runs from found where (select count(*) from told) >= 0
