-- All workers: their beats, and the dead of the last day with the time since their death.
-- parameters: none    rows: one per worker
select id, beat, beat_interval_ms, queues, (extract(epoch from now() - dead_at) * 1000)::bigint
from {schema}.pg_queue_workers
