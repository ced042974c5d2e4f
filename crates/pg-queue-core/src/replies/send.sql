-- Sends replies: stores them, and tells the callers' inboxes, with the replies themselves as far as they are short.
-- parameters: $1 request ids, $2 statuses, $3 replies as JSON, $4 microseconds until they are thrown away,
--             $5 channels, $6 notifications
-- rows: one for each notification    index: primary key    locks: the server's one for notifying transactions, at the commit
--
-- Stored in any case, for callers whose notification is lost. Of two replies to a request the first one stays. Nothing here is
-- in the log, and nobody waits for the disk.
with stored as (
    insert into {schema}.pg_queue_replies (request_id, status, body, expires_at)
    select new.request_id, new.status, new.body, now() + $4 * interval '1 microsecond'
    from unnest($1::uuid[], $2::text[], $3::text[]) as new (request_id, status, body)
    on conflict (request_id) do nothing
)
select pg_notify(sent.channel, sent.payload), (select set_config('synchronous_commit', 'off', true))
from unnest($5::text[], $6::text[]) as sent (channel, payload)
