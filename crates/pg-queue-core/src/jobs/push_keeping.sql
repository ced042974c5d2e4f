-- Enqueues jobs with unique keys, each key once; those whose key is held already are not made.
-- parameters: $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 as in push_many.sql
--             $11 unique keys, $12 whether a key is given up when its job starts
-- rows: (unique key, id, false) of those that were made
-- index: the unique one on unique_key    locks: waits for an open transaction that holds one of the keys
insert into {queue} (kind, payload, run_at, priority, max_attempts, timeout_ms, tags, metadata, request_id, unique_key,
    unique_while_waiting)
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
on conflict (unique_key) where unique_key is not null do nothing
returning unique_key, id, false
