-- All bindings.
-- parameters: none    rows: one per binding, by pattern, queue and kind    index: primary key
select pattern, queue, kind, filter::text, priority, max_attempts, created_at
from {schema}.pg_queue_bindings
order by pattern, queue, kind
