-- Lets the group try parked messages again, as if for the first time.
-- parameters: $1 log, $2 group, $3 transactions and $4 numbers of the messages, null for all    rows: one for each
update {schema}.pg_queue_failures
set parked_at = null, attempts = 0, lapses = 0, due_at = {now}
where log = $1 and group_name = $2 and parked_at is not null
    and ($3::text[] is null or (xid, id) in (select it.xid::xid8, it.id from unnest($3::text[], $4::bigint[]) as it (xid, id)))
returning true
