-- Drops a group with all that it has seen and parked.
-- parameters: $1 log, $2 group    rows: one, whether there was such a group    locks: its rows
select {schema}.pg_queue_drop_group($1, $2)
