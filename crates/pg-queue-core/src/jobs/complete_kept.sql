-- Completes jobs that are kept: they go into the history.
-- parameters: $1 ids, $2 lease tokens, $3 for how long they are kept, in microseconds, $4 their outputs (null: none)
-- rows: (id, token) of those that were completed
-- index: primary key    locks: the rows; skips those that another transaction has locked (held.sql tells them from lost ones)
-- Lateral, and with an array beside the join that bounds what it reads: see complete.sql.
with completing as (
    select held.id, done.token, done.keep, done.output
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) as done (id, token, keep, output)
    cross join lateral (
        select found.id
        from {queue} as found
        where found.id = done.id and found.lease_token = done.token
        for update skip locked
    ) as held
),
completed as (
    delete from {queue} as job
    using completing
    where job.id = completing.id and job.id = any (array(select completing.id from completing))
    returning job.*, completing.keep, completing.output
),
kept as (
    insert into {schema}.pg_queue_history ({kept}, state, errors, started_at, worker, keep_until, output)
    select {kept}, 'completed', errors, leased_at, lease_worker, {now} + keep * interval '1 microsecond', output::json
    from completed
)
select id, token from completing
