-- Binds a queue to the topics of a pattern.
-- parameters: $1 pattern, $2 queue, $3 kind of the jobs, $4 filter as JSON or null, $5 priority and $6 max_attempts of the jobs
-- rows: one    index: primary key    locks: the binding, if it is there already
select {schema}.pg_queue_bind($1, $2, $3, $4::jsonb, $5, $6)
