-- Overwrites waiting jobs whose unique keys are remembered.
-- parameters: $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 as in push_many.sql
--             $11 and $12 null, $13 how long a debounced job waits at most from its first
--             enqueue on, in microseconds, null replaces; $14 ids
-- rows: the ids of those that waited    index: primary key    locks: the rows, until the caller commits
-- Lateral, and with an array beside the join that bounds what it reads: see complete.sql.
with new as (
    select *
    from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[], $7::bigint[],
            $8::text[], $9::text[], $10::uuid[], $11::text[], $12::boolean[], $13::bigint[], $14::bigint[])
        as new (kind, payload, run_at, delay, priority, max_attempts, timeout_ms, tags, metadata, request_id, unique_key,
            unique_while_waiting, most, id)
)
update {queue} as job
set kind = new.kind,
    payload = new.payload::json,
    run_at = least(
        coalesce(timestamptz '2000-01-01 00:00:00+00' + new.run_at * interval '1 microsecond', {now})
            + new.delay * interval '1 microsecond',
        job.created_at + new.most * interval '1 microsecond'
    ),
    priority = new.priority,
    max_attempts = new.max_attempts,
    timeout_ms = new.timeout_ms,
    tags = new.tags::text[],
    metadata = new.metadata::json,
    request_id = new.request_id,
    attempt = 0,
    errors = null,
    progress = null,
    progress_note = null,
    parked = null
from new
where job.id = new.id and job.id = any ($14::bigint[]) and job.lease_token is null
returning job.id
