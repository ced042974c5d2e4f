-- One finished job.
-- parameters: $1 id    rows: one or none, as in list.sql    index: the primary keys of the partitions
select id, state, queue, kind, payload::text, priority, attempt, max_attempts, run_at, created_at, started_at, finished_at,
    keep_until, worker, unique_key, tags, metadata::text, errors::text, output::text
from {schema}.pg_queue_history
where id = $1
order by finished_at desc
limit 1
