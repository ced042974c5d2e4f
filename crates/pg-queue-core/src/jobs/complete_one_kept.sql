-- Completes one job that is kept, waiting for its row if another transaction has locked it.
-- parameters: $1 id, $2 lease token, $3 for how long it is kept, in microseconds, $4 its output (null: none)
-- rows: the id; none when the lease is lost    index: primary key
with completed as (
    delete from {queue} where id = $1 and lease_token = $2 returning *
),
kept as (
    insert into {schema}.pg_queue_history ({kept}, state, errors, started_at, worker, keep_until, output)
    select {kept}, 'completed', errors, leased_at, lease_worker, {now} + $3 * interval '1 microsecond', $4::json
    from completed
)
select id from completed
