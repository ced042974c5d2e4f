-- Declares a worker dead whose beat has stood still. Compare and set: a beat that arrived in the meantime saves it.
-- parameters: $1 id, $2 the beat that was watched    rows: the id, if it is dead by this call    index: primary key
update {schema}.pg_queue_workers
set dead_at = now()
where id = $1 and beat = $2 and dead_at is null
returning id
