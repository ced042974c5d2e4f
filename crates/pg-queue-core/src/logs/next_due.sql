-- How long until a group has something to do that nobody notifies it of: a message to be tried again, a lease that runs out.
-- parameters: $1 log, $2 group    rows: one, microseconds or null    index: pg_queue_failures_due, primary key of the batches
select (extract(epoch from least(
    (
        select min(due_at) from {schema}.pg_queue_failures
        where log = $1 and group_name = $2 and batch is null and parked_at is null
    ),
    (select min(lease_until) from {schema}.pg_queue_batches where log = $1 and group_name = $2)
) - {now}) * 1000000)::bigint
