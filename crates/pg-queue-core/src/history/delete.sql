-- Deletes finished jobs from the history.
-- parameters: $1 ids    rows: the ids of those that were there    index: the primary keys of the partitions
-- locks: the rows, in the order in which retry.sql takes them, and waiting for whoever has locked them
with past as (
    select id, keep_until from {schema}.pg_queue_history where id = any ($1) order by id for update
)
delete from {schema}.pg_queue_history
where id = any (array(select past.id from past))
returning id
