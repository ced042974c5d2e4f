-- One unfinished job.
-- parameters: $1 id    rows: one or none, as in list.sql    index: primary key
select
    id,
    case
        when lease_token is not null and (lease_until is null or lease_until >= {now}) then 'running'
        when parked is not null then 'parked'
        when run_at > {now} then 'scheduled'
        else 'waiting'
    end,
    kind, payload::text, priority, attempt, max_attempts, run_at, created_at, leased_at, lease_worker,
    cancel_requested_at is not null, progress, progress_note, unique_key, tags, metadata::text, errors::text
from {queue}
where id = $1
