-- Enqueues one job that has nothing special, as most have not: half the parameters of push.sql take a twentieth less of the time.
-- parameters: $1 kind, $2 payload, $3 priority, $4 max_attempts
-- rows: one with the id    locks: none that another producer waits for
insert into {queue} (kind, payload, run_at, priority, max_attempts) values ($1, $2::json, {now}, $3, $4) returning id
