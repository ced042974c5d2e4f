-- The job that comes next when time goes on, of all that wait. Not of a paused queue.
-- parameters: $1 queues, $2 kinds    rows: (queue, id), or none    walks these queues
-- locks: the row, for a moment; those that others have locked are passed over, as a claim does
--
-- One that is due already is no exception: it may have become that since the last claim.
select job.queue, job.id
from {schema}.pg_queue_jobs as job
where job.queue = any ($1)
  and job.kind = any ($2)
  and job.lease_token is null
  and job.run_at < 'infinity'
  and not exists (
      select from {schema}.pg_queue_queues as queue where queue.name = job.queue and queue.paused_at is not null
  )
order by job.run_at, job.priority, job.id
limit 1
for update of job skip locked
