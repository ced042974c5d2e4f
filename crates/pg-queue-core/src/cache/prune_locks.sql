-- Forgets locks that nobody has held for a day, a bounded number at a time. Their numbers do not come back: all locks draw from
-- one sequence.
-- parameters: $1 how many at most    rows: none    locks: the rows; skips those that somebody takes
-- reads: the table, which has as many rows as locks were taken within a day
delete from {schema}.pg_queue_locks
where name = any (array(
    select name from {schema}.pg_queue_locks where until < now() - interval '1 day' limit $1 for update skip locked
))
