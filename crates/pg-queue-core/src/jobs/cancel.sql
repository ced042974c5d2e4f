-- Cancels jobs: those that wait go into the history at once; those that run are marked, and the workers told.
-- parameters: $1 ids, $2 a note to keep as the last error of those that waited (null: none)
-- rows: (id, whether it runs) of those that are there
-- index: primary key    locks: the rows, waiting for whoever has locked them
--
-- Whether a job runs is looked at when its row is locked, so a claim at the same moment comes either before or after this. A
-- worker that does not hear the notification sees the mark when it next verifies its leases; whatever ends the attempt
-- before that sees it, too.
with found as (
    select wanted.id, held.runs
    from unnest($1::bigint[]) as wanted (id)
    cross join lateral (
        select job.lease_token is not null as runs from {queue} as job where job.id = wanted.id for update
    ) as held
),
marked as (
    update {queue} as job
    set cancel_requested_at = coalesce(job.cancel_requested_at, {now})
    where job.id = any (array(select found.id from found where found.runs))
    returning job.id
),
told as (
    select pg_notify('pg_queue.{schema_name}', 'cancel:{queue_name}:' || marked.id) from marked
),
buried as (
    delete from {queue} as job
    where job.id = any (array(select found.id from found where not found.runs))
    returning job.*
),
kept as (
    insert into {schema}.pg_queue_history ({kept}, state, errors, keep_until)
    select
        {kept}, 'cancelled',
        case
            when $2::text is null then errors
            else {schema}.pg_queue_add_error(errors, attempt, $2, null, null)
        end,
        {schema}.pg_queue_keep_discarded('{queue_name}')
    from buried
)
-- Counted, because what nobody asks for is not done.
select found.id, found.runs from found where (select count(*) from told) >= 0
