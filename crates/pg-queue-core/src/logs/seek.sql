-- Moves a group. What its members have in hand is theirs no more, and what was to be tried again is forgotten; what is parked stays.
-- parameters: $1 log, $2 group, $3 where to (pg_queue_start)    rows: one, if there is such a group    locks: its row
with moved as (
    update {schema}.pg_queue_groups as g
    set seen = start.seen, upto = null, skip_id = start.skip_id, at_xid = null, at_id = null
    from {schema}.pg_queue_start($1, $3::json) as start
    where g.log = $1 and g.name = $2
    returning true as it
),
taken as (
    delete from {schema}.pg_queue_batches where log = $1 and group_name = $2
),
forgotten as (
    delete from {schema}.pg_queue_failures where log = $1 and group_name = $2 and parked_at is null
)
select it from moved
