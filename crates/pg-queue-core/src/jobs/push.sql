-- Enqueues one job.
-- parameters: $1 kind, $2 payload, $3 run_at or null for now, $4 delay in microseconds, $5 priority, $6 max_attempts,
--             $7 unique key or null, $8 request id or null
-- rows: one with the id; none when an unfinished job has the same unique key
-- index: the unique one on unique_key    locks: waits for an open transaction that holds the same unique key
insert into {queue} (kind, payload, run_at, priority, max_attempts, unique_key, request_id)
values ($1, $2::json, coalesce($3, now()) + $4 * interval '1 microsecond', $5, $6, $7, $8)
on conflict (unique_key) where unique_key is not null do nothing
returning id
