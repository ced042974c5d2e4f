-- A batch is done, but for the messages that failed.
-- parameters: $1 log, $2 group, $3 batch, $4 transactions and $5 numbers of failed messages, $6 their errors
-- rows: one, whether the batch was still the member's    locks: the batch
select {schema}.pg_queue_acknowledge($1, $2, $3, $4::text[]::xid8[], $5, $6)
