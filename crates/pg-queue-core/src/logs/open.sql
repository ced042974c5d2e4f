-- Makes a group that begins where it is told to, unless there is one.
-- parameters: $1 log, $2 group, $3 where to begin (pg_queue_start), $4 attempts, $5 milliseconds to the first retry
-- rows: (attempts, milliseconds) of the group as it is, none if there is no such log, or another transaction has made the group just now
with made as (
    insert into {schema}.pg_queue_groups (log, name, seen, skip_id, max_attempts, retry_ms)
    select $1, $2, start.seen, start.skip_id, $4, $5
    from {schema}.pg_queue_logs as log, {schema}.pg_queue_start(log.name, $3::json) as start
    where log.name = $1 and not exists (select from {schema}.pg_queue_groups where log = $1 and name = $2)
    on conflict do nothing
    returning max_attempts, retry_ms
)
select max_attempts, retry_ms from made
union all
select max_attempts, retry_ms from {schema}.pg_queue_groups where log = $1 and name = $2
