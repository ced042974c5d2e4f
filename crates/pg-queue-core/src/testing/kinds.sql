-- How many unfinished jobs there are of each kind, in all queues, without some kinds.
-- parameters: $1 the kinds that are left out    rows: (kind, how many), by kind    walks all queues
select kind, count(*) from {schema}.pg_queue_jobs where kind <> all ($1) group by kind order by kind
