-- The groups of a log, by name.
-- parameters: $1 log    rows: (name, attempts, milliseconds to the first retry, batches in hand, messages to be tried again,
-- parked, lost, when the oldest message was sent that it has not seen)
select g.name, g.max_attempts, g.retry_ms,
    (select count(*) from {schema}.pg_queue_batches as b where b.log = g.log and b.group_name = g.name),
    (select count(*) from {schema}.pg_queue_failures as f where f.log = g.log and f.group_name = g.name and f.parked_at is null),
    (select count(*) from {schema}.pg_queue_failures as f where f.log = g.log and f.group_name = g.name and f.parked_at is not null),
    g.lost,
    (
        select w.sent_at
        from {schema}.pg_queue_window(g.log, g.seen, coalesce(g.upto, pg_current_snapshot()), g.skip_id, g.at_xid, g.at_id, null, null, 1) as w
    )
from {schema}.pg_queue_groups as g
where g.log = $1
order by g.name
