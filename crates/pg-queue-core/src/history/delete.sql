-- Deletes finished jobs from the history.
-- parameters: $1 ids    rows: the ids of those that were there    index: the primary keys of the partitions
delete from {schema}.pg_queue_history where id = any ($1) returning id
