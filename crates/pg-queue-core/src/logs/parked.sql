-- The messages that a group has parked, oldest first.
-- parameters: $1 log, $2 group, $3 transaction and $4 number after which to begin, $5 most    rows: parked messages
-- index: primary key
select xid::text::bigint, id, attempts, sent_at, parked_at, error, attributes::text, body::text
from {schema}.pg_queue_failures
where log = $1 and group_name = $2 and parked_at is not null and (xid, id) > ($3::text::xid8, $4)
order by xid, id
limit $5
