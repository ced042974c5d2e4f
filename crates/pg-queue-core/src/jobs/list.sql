-- Unfinished jobs, by id.
-- parameters: $1 only ids above this one, $2 kinds (null: any), $3 tags that it has, all of them (null: any)
--             $4 states out of 'scheduled', 'waiting', 'parked' and 'running' (null: any)
--             $5 only those that were enqueued before, in microseconds since 2000-01-01 UTC (null: any), $6 how many at most
-- rows: one per job    index: primary key, walked from $1 on until there are enough
select
    job.id, job.state, job.kind, job.payload::text, job.priority, job.attempt, job.max_attempts, job.run_at, job.created_at,
    job.leased_at, job.lease_worker, job.cancel_requested_at is not null, job.progress, job.progress_note,
    job.unique_key, job.tags, job.metadata::text, job.errors::text
from (
    select
        *,
        case
            when lease_token is not null and (lease_until is null or lease_until >= {now}) then 'running'
            when parked is not null then 'parked'
            when run_at > {now} then 'scheduled'
            else 'waiting'
        end as state
    from {queue}
    where id > $1
) as job
where ($2::text[] is null or job.kind = any ($2))
  and ($3::text[] is null or job.tags @> $3)
  and ($4::text[] is null or job.state = any ($4))
  and ($5::bigint is null or job.created_at < timestamptz '2000-01-01 00:00:00+00' + $5 * interval '1 microsecond')
order by job.id
limit $6
