-- Asks to be notified when jobs arrive. Written by idle workers only.
-- parameters: $1 queues, $2 worker id, $3 microseconds from now    rows: none    index: primary key
insert into {schema}.pg_queue_waiters (queue, worker, until)
select distinct queue, $2::bigint, now() + $3 * interval '1 microsecond' from unnest($1::text[]) as queue order by queue
on conflict (queue, worker) do update set until = excluded.until
