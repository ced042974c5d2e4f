-- Completes one job, waiting for its row if another transaction has locked it. It goes into the history if its queue's completed
-- jobs are kept.
-- parameters: $1 id, $2 lease token    rows: the id; none when the lease is lost    index: primary key
with completed as (
    delete from {queue} where id = $1 and lease_token = $2 returning *
),
kept as (
    insert into {schema}.pg_queue_history ({kept}, state, errors, started_at, worker, keep_until)
    select {kept}, 'completed', errors, leased_at, lease_worker, {now} + setting.keep
    from completed
    cross join (
        select keep_completed as keep from {schema}.pg_queue_queues where name = '{queue_name}' and keep_completed is not null
    ) as setting
)
select id from completed
