-- Whether the migrations are there, and whether the queue is. Fails on neither, so that it is safe inside a
-- caller's transaction.
-- parameters: $1 the parent's name, $2 the queue's table, both qualified    rows: one
select to_regclass($1) is not null, to_regclass($2) is not null
