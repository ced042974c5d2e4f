-- Deals the next batch to a member.
-- parameters: $1 log, $2 group, $3 most messages, $4 microseconds of lease, $5 the batch's id    rows: messages, in no order
-- locks: the group's row    index: the log's primary key
select xid::text::bigint, id, attempt, sent_at, attributes::text, body::text
from {schema}.pg_queue_receive($1, $2, $3, $4 * interval '1 microsecond', $5)
