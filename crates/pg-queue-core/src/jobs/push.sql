-- Enqueues one job that has no unique key.
-- parameters: $1 kind, $2 payload, $3 run_at in microseconds since 2000-01-01 UTC, or null for now, $4 delay in
--             microseconds, $5 priority, $6 max_attempts, $7 timeout in milliseconds or null, $8 tags as an array's literal
--             or null, $9 metadata or null, $10 request id or null, $11 whether the transaction commits asynchronously
-- rows: one with the id    locks: none that another producer waits for
-- The setting is local to the transaction: what the connection does next commits as ever.
insert into {queue} (kind, payload, run_at, priority, max_attempts, timeout_ms, tags, metadata, request_id)
values (
    $1, $2::json,
    coalesce(timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 microsecond', {now}) + $4 * interval '1 microsecond',
    $5, $6, $7, $8::text[], $9::json, $10
)
returning id, (select set_config('synchronous_commit', 'off', true) where $11)
