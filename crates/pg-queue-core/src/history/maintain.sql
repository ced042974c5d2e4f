-- Makes the history's partitions of the days to come and drops those whose time is over.
-- parameters: $1 how far ahead, in microseconds    rows: one    locks: for a moment, access exclusive on the history
select {schema}.pg_queue_maintain_history($1 * interval '1 microsecond')
