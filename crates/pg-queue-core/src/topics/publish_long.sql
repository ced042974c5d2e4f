-- The same, with messages that are too long for a notification.
-- parameters: $1 $2 $3 as in publish.sql; $4 numbers, $5 messages as JSON    rows: one for each notification
with stored as (
    insert into {schema}.pg_queue_messages (id, body)
    select new.id, new.body::json from unnest($4::bigint[], $5::text[]) as new (id, body)
)
select pg_notify(sent.channel, sent.payload), (select set_config('synchronous_commit', 'off', true) where $3)
from unnest($1::text[], $2::text[]) as sent (channel, payload)
