-- Finished jobs, by id.
-- parameters: $1 only ids above this one, $2 queue (null: any), $3 states (null: any), $4 kinds (null: any)
--             $5 tags that it has, all of them (null: any)
--             $6 only those that finished before, in microseconds since 2000-01-01 UTC (null: any), $7 how many at most
-- rows: one per job    index: the primary keys of the partitions, merged
select id, state, queue, kind, payload::text, priority, attempt, max_attempts, run_at, created_at, started_at, finished_at,
    keep_until, worker, unique_key, tags, metadata::text, errors::text, output::text
from {schema}.pg_queue_history
where id > $1
  and ($2::text is null or queue = $2)
  and ($3::text[] is null or state = any ($3))
  and ($4::text[] is null or kind = any ($4))
  and ($5::text[] is null or tags @> $5)
  and ($6::bigint is null or finished_at < timestamptz '2000-01-01 00:00:00+00' + $6 * interval '1 microsecond')
order by id
limit $7
