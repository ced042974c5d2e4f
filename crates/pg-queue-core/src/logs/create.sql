-- Makes a log, or sets for how long an existing one keeps its messages.
-- parameters: $1 name, $2 milliseconds or null, $3 bytes or null    rows: one
select {schema}.pg_queue_create_log($1, $2::bigint * interval '1 millisecond', $3)
