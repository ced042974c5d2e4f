-- Ends attempts that have not completed their jobs. A job goes back into the queue, or into the history as discarded or
-- cancelled.
-- parameters: $1 ids, $2 lease tokens
--             $3 endings: 'retry' (the attempt failed; after the last one the job is discarded), 'release' (the attempt is
--                not counted), 'discard', 'cancel'
--             $4 delays in microseconds (null: run_at stays), $5 errors to note (null: none), $6 how long the attempts
--                took, in milliseconds (null: since the claim)
-- rows: (id, token, what became of the job: 'retry', 'release', 'discard' or 'cancel') of those that were ended
-- index: primary key    locks: the rows; skips those that another transaction has locked (held.sql tells them from lost ones)
--
-- A job that somebody wants cancelled does not go back. This is decided here, and not by the one who ends the attempt: the
-- wish may come at any moment before the row is locked.
-- Lateral, and with arrays beside the joins that bound what they read: see complete.sql.
with ending as (
    select
        held.id, attempt.token, attempt.delay, attempt.error, attempt.took,
        case
            when attempt.ending in ('discard', 'cancel') then attempt.ending
            when held.cancel_requested then 'cancel'
            when attempt.ending = 'retry' and held.spent then 'discard'
            else attempt.ending
        end as ending
    from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bigint[])
        as attempt (id, token, ending, delay, error, took)
    cross join lateral (
        select
            job.id,
            job.attempt >= job.max_attempts as spent,
            job.cancel_requested_at is not null as cancel_requested
        from {queue} as job
        where job.id = attempt.id and job.lease_token = attempt.token
        for update skip locked
    ) as held
),
returned as (
    update {queue} as job
    set leased_at = null,
        lease_worker = null,
        lease_token = null,
        lease_until = null,
        attempt = case ending.ending when 'release' then greatest(job.attempt - 1, 0) else job.attempt end,
        run_at = case
            when ending.delay is null then job.run_at
            else {now} + ending.delay * interval '1 microsecond'
        end,
        errors = case
            when ending.error is null then job.errors
            else {schema}.pg_queue_add_error(job.errors, job.attempt, ending.error, job.lease_worker,
                coalesce(ending.took, {schema}.pg_queue_ms_since(job.leased_at)))
        end,
        progress = null,
        progress_note = null
    from ending
    where job.id = ending.id
      and ending.ending in ('retry', 'release')
      and job.id = any (array(select ending.id from ending))
),
buried as (
    delete from {queue} as job
    using ending
    where job.id = ending.id
      and ending.ending in ('discard', 'cancel')
      and job.id = any (array(select ending.id from ending))
    returning job.*, ending.ending, ending.error, ending.took
),
kept as (
    insert into {schema}.pg_queue_history ({kept}, state, errors, started_at, worker, keep_until)
    select
        {kept},
        case ending when 'discard' then 'discarded' else 'cancelled' end,
        case
            when error is null then errors
            else {schema}.pg_queue_add_error(errors, attempt, error, lease_worker,
                coalesce(took, {schema}.pg_queue_ms_since(leased_at)))
        end,
        leased_at, lease_worker, {schema}.pg_queue_keep_discarded('{queue_name}')
    from buried
    -- Nothing is kept of a request whose caller has gone away.
    where request_id is null or cancel_requested_at is null
)
select id, token, ending from ending
