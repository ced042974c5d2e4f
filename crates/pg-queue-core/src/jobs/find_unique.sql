-- The unfinished job that holds a unique key. A statement of its own: the one that met the conflict may have too old a
-- snapshot to see the other job.
-- parameters: $1 unique key    rows: one or none    index: the unique one on unique_key
select id from {queue} where unique_key = $1
