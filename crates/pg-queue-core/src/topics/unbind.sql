-- Ends a binding.
-- parameters: $1 pattern, $2 queue, $3 kind    rows: one boolean: whether there was one    index: primary key
select {schema}.pg_queue_unbind($1, $2, $3)
