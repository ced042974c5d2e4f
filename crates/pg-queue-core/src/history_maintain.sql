-- Makes the history's partitions of the coming week and drops the expired ones.
-- parameters: none    rows: one    locks: for a moment, access exclusive on the history
select {schema}.pg_queue_maintain_history()
