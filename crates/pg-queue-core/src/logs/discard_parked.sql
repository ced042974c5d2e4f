-- Throws parked messages away.
-- parameters: $1 log, $2 group, $3 transactions and $4 numbers of the messages, null for all    rows: one for each
delete from {schema}.pg_queue_failures
where log = $1 and group_name = $2 and parked_at is not null
    and ($3::text[] is null or (xid, id) in (select it.xid::xid8, it.id from unnest($3::text[], $4::bigint[]) as it (xid, id)))
returning true
