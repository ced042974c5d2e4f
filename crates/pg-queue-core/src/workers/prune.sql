-- Forgets workers that have been dead for a day, and the wishes of waiters that have long expired.
-- parameters: none    rows: none
with forgotten as (
    delete from {schema}.pg_queue_waiters where until < now() - interval '1 hour'
)
delete from {schema}.pg_queue_workers where dead_at < now() - interval '1 day'
