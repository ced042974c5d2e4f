-- Completes jobs where they were claimed: they leave the table. For a third of what complete.sql costs.
-- parameters: $1 where their rows were, $2 ids, $3 lease tokens, $4 whether to leave all if the queue keeps completed jobs
-- rows: (id, token) of those that were completed
-- index: none    locks: the rows
-- An id that is not answered may be elsewhere by now, or locked: complete.sql is to be asked.
--
-- A row that somebody has locked is passed over: its xmax is not its claim's own, as it is after a claim, or nothing. Whoever
-- locks it between that look and the deletion is waited for. `is true` keeps the comparison from becoming a join, whose plan would
-- depend on statistics: as a condition it is a look into a hash table.
delete from {queue} as job
where job.ctid = any ($1::{places})
  and ((job.id, job.lease_token) in (
      select lease.id, lease.token from unnest($2::bigint[], $3::bigint[]) as lease (id, token)
  )) is true
  and (job.xmax = job.xmin or job.xmax = 0)
  and (not $4 or not exists (
      select from {schema}.pg_queue_queues as queue where queue.name = '{queue_name}' and queue.keep_completed is not null
  ))
returning job.id, job.lease_token
