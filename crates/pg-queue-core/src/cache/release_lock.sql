-- Gives a lock back.
-- parameters: $1 name, $2 who holds it    rows: one, if it was still held    index: primary key    locks: the row
update {schema}.pg_queue_locks set holder = null
where name = $1 and holder = $2 and until > now()
returning true
