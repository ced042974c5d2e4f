-- Enqueues jobs whose unique keys are remembered for a time, each key once; those whose key is remembered already are not
-- made.
-- parameters: $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 as in push_many.sql
--             $11 unique keys; $12 null; $13 for how long, in microseconds each
-- rows: (unique key, id, false) of those that were made
-- index: the primary key of pg_queue_unique_keys
-- locks: the rows of the keys, until the caller commits; waits for an open transaction that has locked one of them
with new as (
    select *
    from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[], $7::bigint[],
            $8::text[], $9::text[], $10::uuid[], $11::text[], $12::boolean[], $13::bigint[])
        with ordinality as new (kind, payload, run_at, delay, priority, max_attempts, timeout_ms, tags, metadata, request_id,
            unique_key, unique_while_waiting, span, position)
),
remembered as (
    insert into {schema}.pg_queue_unique_keys as known (queue, key, job, expires_at)
    select '{queue_name}', new.unique_key, nextval('{schema}.pg_queue_job_ids'), {now} + new.span * interval '1 microsecond'
    from new
    order by new.position
    on conflict (queue, key) do update
    set job = excluded.job, expires_at = excluded.expires_at
    where known.expires_at <= {now}
    returning known.key, known.job
),
enqueued as (
    insert into {queue} (id, kind, payload, run_at, priority, max_attempts, timeout_ms, tags, metadata, request_id)
    select
        remembered.job, new.kind, new.payload::json,
        coalesce(timestamptz '2000-01-01 00:00:00+00' + new.run_at * interval '1 microsecond', {now})
            + new.delay * interval '1 microsecond',
        new.priority, new.max_attempts, new.timeout_ms, new.tags::text[], new.metadata::json, new.request_id
    from new
    join remembered on remembered.key = new.unique_key
)
select remembered.key, remembered.job, false from remembered
