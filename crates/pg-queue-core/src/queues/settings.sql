-- How workers are to treat queues.
-- parameters: $1 names
-- rows: (name, whether it is paused, jobs at once per worker or null, for how long completed jobs are kept or null and
--       discarded ones, in microseconds), for those that exist    index: primary key
select
    name, paused_at is not null, concurrency,
    (extract(epoch from keep_completed) * 1000000)::bigint, (extract(epoch from keep_discarded) * 1000000)::bigint
from {schema}.pg_queue_queues
where name = any ($1)
