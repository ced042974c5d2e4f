-- Enqueues jobs with unique keys, each key once; a waiting job that holds one of them becomes the new job, under its id.
-- parameters: $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 as in push_many.sql
--             $11 unique keys, $12 whether a key is given up when its job starts,
--             $13 how long a debounced job waits at most from its first enqueue on, in microseconds; null replaces
-- rows: (unique key, id, whether it was there already); none for a key whose job runs
-- index: the unique one on unique_key
-- locks: the overwritten rows, until the caller commits; waits for an open transaction that holds one of the keys or rows
--
-- A claim and this at the same moment: whoever has the row first wins. After a claim the condition is looked at again, on
-- the row as the claim has left it, and the job is left alone. `xmax` is zero in a row that was never locked or updated, so
-- in one that was just inserted.
insert into {queue} as job (kind, payload, run_at, priority, max_attempts, timeout_ms, tags, metadata, request_id,
    unique_key, unique_while_waiting)
select
    new.kind, new.payload::json,
    coalesce(timestamptz '2000-01-01 00:00:00+00' + new.run_at * interval '1 microsecond', {now})
        + new.delay * interval '1 microsecond',
    new.priority, new.max_attempts, new.timeout_ms, new.tags::text[], new.metadata::json, new.request_id, new.unique_key,
    new.unique_while_waiting
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[], $7::bigint[], $8::text[],
        $9::text[], $10::uuid[], $11::text[], $12::boolean[])
    with ordinality as new (kind, payload, run_at, delay, priority, max_attempts, timeout_ms, tags, metadata, request_id,
        unique_key, unique_while_waiting, position)
order by new.position
on conflict (unique_key) where unique_key is not null do update
set kind = excluded.kind,
    payload = excluded.payload,
    run_at = case
        when $13::bigint is null then excluded.run_at
        else least(excluded.run_at, job.created_at + $13 * interval '1 microsecond')
    end,
    priority = excluded.priority,
    max_attempts = excluded.max_attempts,
    timeout_ms = excluded.timeout_ms,
    tags = excluded.tags,
    metadata = excluded.metadata,
    request_id = excluded.request_id,
    unique_while_waiting = excluded.unique_while_waiting,
    attempt = 0,
    errors = null,
    progress = null,
    progress_note = null,
    parked = null
where job.lease_token is null
returning job.unique_key, job.id, job.xmax <> 0
