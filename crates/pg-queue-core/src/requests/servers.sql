-- Which workers answer which kinds of requests.
-- parameters: $1 queues, $2 kinds
-- rows: (position among the parameters from 1 on, worker, its beat, the time between two beats in milliseconds)
-- A worker whose death nobody has noticed counts as alive: whoever asks again sees that it does not beat.
select wanted.position, worker.id, worker.beat, worker.beat_interval_ms
from unnest($1::text[], $2::text[]) with ordinality as wanted (queue, kind, position)
join {schema}.pg_queue_workers as worker
    on worker.dead_at is null and wanted.queue = any (worker.queues) and wanted.kind = any (worker.kinds)
