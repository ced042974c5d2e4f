-- A member keeps its batch for longer.
-- parameters: $1 log, $2 group, $3 batch, $4 microseconds from now    rows: as many as were the member's    index: primary key
update {schema}.pg_queue_batches set lease_until = {now} + $4 * interval '1 microsecond'
where log = $1 and group_name = $2 and id = $3
returning true
