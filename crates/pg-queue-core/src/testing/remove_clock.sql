-- Gives the jobs their own clock back, as migrations/0002_jobs.sql makes it, and wakes the workers: what was due may not be, and
-- the other way round.
-- parameters: none    rows: none    locks: see install_clock.sql
--
-- The table stays, empty. A transaction that has asked for the time holds a lock on it, and dropping it would wait for that.
do $remove$
begin
    perform pg_advisory_xact_lock(hashtextextended('{schema}.pg_queue_test_clock', 0));
    create or replace function {schema}.pg_queue_now() returns timestamptz
    language sql stable parallel safe
    as $$ select now() $$;
    delete from {schema}.pg_queue_test_clock;
    perform pg_notify('pg_queue.{schema_name}', 'wake:' || queue.name) from {schema}.pg_queue_queues as queue;
end
$remove$
