-- Puts finished jobs of one queue back into it, due now, with all of their attempts before them. Their errors go with them.
-- parameters: $1 ids, $2 a payload to have in place of the old one (null: the old one), $3 likewise a priority, $4 likewise
--             max_attempts
-- rows: the ids of those that are back; not those whose unique key another job holds by now
-- index: the primary keys of the history's partitions
-- locks: the rows in the history, so that of two at once one finds nothing; waits for an open transaction that holds the same
--        unique key. Takes keys in their order, as batches of new jobs do: the two do not wait for each other in a circle.
with past as (
    select {kept}, errors
    from {schema}.pg_queue_history
    where id = any ($1) and queue = '{queue_name}'
    order by id
    for update
),
back as (
    insert into {queue} ({kept}, errors)
    select {kept}, errors
    from (
        select
            past.id, {now} as run_at, past.created_at, 0::smallint as attempt,
            coalesce($4, past.max_attempts) as max_attempts, coalesce($3, past.priority) as priority,
            past.unique_while_waiting, past.timeout_ms, past.request_id, past.queue, past.kind, past.unique_key, past.tags,
            past.metadata, coalesce($2::json, past.payload) as payload, past.errors
        from past
    ) as again
    order by unique_key collate "C"
    on conflict do nothing
    returning id
),
gone as (
    delete from {schema}.pg_queue_history where id = any (array(select back.id from back))
)
select id from back
