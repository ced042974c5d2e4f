-- Holds a lock for longer.
-- parameters: $1 name, $2 who holds it, $3 for how many microseconds from now on
-- rows: one, if it was still held    index: primary key    locks: the row
update {schema}.pg_queue_locks set until = now() + $3 * interval '1 microsecond'
where name = $1 and holder = $2 and until > now()
returning true
