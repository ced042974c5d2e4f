-- Opens a new segment of a log and drops old ones, where it is time.
-- parameters: $1 log    rows: one, how many were dropped    locks: the log, where a segment is dropped, up to 100 ms
select {schema}.pg_queue_rotate_log($1)
