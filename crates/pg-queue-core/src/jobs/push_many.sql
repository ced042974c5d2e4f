-- Enqueues many jobs of one kind and one policy, in the order given.
-- parameters: $1 kind, $2 payloads, $3 run_at or null for now, $4 delay in microseconds, $5 priority, $6 max_attempts
-- rows: the ids, in the order of the payloads
insert into {queue} (kind, payload, run_at, priority, max_attempts)
select $1, pushed.payload::json, coalesce($3, now()) + $4 * interval '1 microsecond', $5, $6
from unnest($2::text[]) with ordinality as pushed (payload, position)
order by pushed.position
returning id
