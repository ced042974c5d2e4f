-- Sets the clock of tests, and wakes the workers of all queues: something may be due.
-- parameters: $1 to which moment, in microseconds since 2000-01-01 UTC
-- rows: one: the time that it shows then; none when there is no such clock
with moved as (
    update {schema}.pg_queue_test_clock
    set ahead_us = $1 - (extract(epoch from now() - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint
    returning now() + ahead_us * interval '1 microsecond' as shown
),
told as (
    select pg_notify('pg_queue.{schema_name}', 'wake:' || queue.name) from moved cross join {schema}.pg_queue_queues as queue
)
-- Counted, because what nobody asks for is not done.
select moved.shown from moved where (select count(*) from told) >= 0
