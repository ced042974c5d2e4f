-- Unfinished jobs of some kinds in all queues, by id.
-- parameters: $1 kinds    rows: one per job: as in jobs/list.sql, and its queue    walks all queues
select
    id,
    case
        when lease_token is not null and (lease_until is null or lease_until >= {now}) then 'running'
        when parked is not null then 'parked'
        when run_at > {now} then 'scheduled'
        else 'waiting'
    end,
    kind, payload::text, priority, attempt, max_attempts, run_at, created_at, leased_at, lease_worker,
    cancel_requested_at is not null, progress, progress_note, unique_key, tags, metadata::text, errors::text,
    queue
from {schema}.pg_queue_jobs
where kind = any ($1)
order by id
