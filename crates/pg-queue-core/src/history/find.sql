-- The ids of finished jobs with their queues, for what is done to many of them in steps.
-- parameters: $1 $2 $3 $4 $5 $6 $7 as in list.sql    rows: (id, queue), by id    index: the primary keys, merged
select id, queue
from {schema}.pg_queue_history
where id > $1
  and ($2::text is null or queue = $2)
  and ($3::text[] is null or state = any ($3))
  and ($4::text[] is null or kind = any ($4))
  and ($5::text[] is null or tags @> $5)
  and ($6::bigint is null or finished_at < timestamptz '2000-01-01 00:00:00+00' + $6 * interval '1 microsecond')
order by id
limit $7
