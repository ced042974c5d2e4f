-- Enqueues many jobs that have no unique key, in the order given.
-- parameters: $1 kinds, $2 payloads, $3 run_at in microseconds since 2000-01-01 UTC, or null for now, $4 delays in
--             microseconds, $5 priorities, $6 max_attempts, $7 timeouts in milliseconds or null, $8 tags as array literals or
--             null, $9 metadata or null, $10 request ids or null, $11 and $12 null, $13 as $11 in push.sql;
--             of $1 $4 $5 $6 a single one stands for all
-- rows: the ids, in the order of the payloads    locks: none that another producer waits for
insert into {queue} (kind, payload, run_at, priority, max_attempts, timeout_ms, tags, metadata, request_id, unique_key,
    unique_while_waiting)
select
    coalesce(new.kind, ($1::text[])[1]), new.payload::json,
    coalesce(timestamptz '2000-01-01 00:00:00+00' + new.run_at * interval '1 microsecond', {now})
        + coalesce(new.delay, ($4::bigint[])[1]) * interval '1 microsecond',
    coalesce(new.priority, ($5::smallint[])[1]), coalesce(new.max_attempts, ($6::smallint[])[1]), new.timeout_ms,
    new.tags::text[], new.metadata::json, new.request_id, new.unique_key, new.unique_while_waiting
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[], $7::bigint[], $8::text[],
        $9::text[], $10::uuid[], $11::text[], $12::boolean[])
    with ordinality as new (kind, payload, run_at, delay, priority, max_attempts, timeout_ms, tags, metadata, request_id,
        unique_key, unique_while_waiting, position)
order by new.position
returning id, (select set_config('synchronous_commit', 'off', true) where $13)
