-- Takes one job that waits under a worker's lease, due or not, parked or not.
-- parameters: $1 worker id, $2 lease token, $3 the job's id, $4 which attempt this is (null: the next one)
-- rows: as claim.sql answers it, with the time for which it was scheduled; none when it is gone or somebody has it
-- index: primary key    locks: the row, waiting for whoever has locked it
--
-- From here on it is due: that is where the jobs of a dead worker are looked for.
with chosen as (
    select waiting.id, waiting.run_at from {queue} as waiting where waiting.id = $3 and waiting.lease_token is null for update
)
update {queue} as job
set run_at = least(job.run_at, {now}),
    parked = null,
    leased_at = {now},
    lease_worker = $1,
    lease_token = $2,
    lease_until = null,
    attempt = coalesce($4::smallint, job.attempt + 1),
    unique_key = case when job.unique_while_waiting then null else job.unique_key end
from chosen
where job.id = chosen.id and job.id = $3
returning job.id, job.attempt, job.max_attempts, job.priority, job.kind, job.payload, chosen.run_at, job.created_at,
    job.request_id, job.timeout_ms, job.tags, job.metadata, job.ctid{told},
    case when job.request_id is not null then (extract(epoch from job.leased_at - job.created_at) * 1000)::bigint end
