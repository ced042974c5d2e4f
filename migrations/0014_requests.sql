-- Requests, whose jobs need not outlive a crash of the server.

-- Makes the queue `name` without a log: its jobs are lost with a crash of the server, and writing them costs no wait for the
-- disk. For requests, whose callers are gone after a crash as well. Does nothing when the queue exists, logged or not.
create function {schema}.pg_queue_create_unlogged_queue(name text) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as $$
declare
    leaf text;
begin
    perform {schema}.pg_queue_check_name(name);
    leaf := format('%I.%I', '{schema_name}', 'queue_' || name);
    -- As pg_queue_create_queue: the second of two at once finds the queue made, and does not rewrite it under the first one's jobs.
    perform pg_advisory_xact_lock(hashtextextended('{schema}.pg_queue_queues', 0));
    if pg_partition_root(to_regclass(leaf)) = '{schema}.pg_queue_jobs'::regclass then
        return;
    end if;
    perform {schema}.pg_queue_create_queue(name);
    execute format('alter table %s set unlogged', leaf);
end
$$;
