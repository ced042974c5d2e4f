-- Publishes messages in their order.
-- parameters: $1 log, $2 messages, $3 attributes, both as JSON    rows: (transaction, number) of each, in that order
-- index: primary key of the logs; each message goes to the segment that is the newest now
insert into {log} (segment, attributes, body)
select log.segment, new.attributes::json, new.body::json
from (select segment from {schema}.pg_queue_logs where name = $1) as log,
    unnest($2::text[], $3::text[]) with ordinality as new (body, attributes, place)
order by new.place
returning xid::text::bigint, id
