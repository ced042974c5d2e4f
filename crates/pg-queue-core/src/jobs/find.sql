-- The ids of unfinished jobs, for what is done to many of them in steps.
-- parameters: $1 $2 $3 $4 $5 $6 as in list.sql    rows: the ids, in order    index: primary key, walked from $1 on
select job.id
from (
    select
        id, kind, tags, created_at,
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
