-- Sends notifications, in their order: at the commit of the transaction, at once when there is none. Unless one of the topics is
-- bound to a queue: then nothing, and publish_bound.sql is needed.
-- parameters: $1 channels, $2 payloads, $3 whether the transaction commits asynchronously, $4 the topics, each once
-- rows: one for each notification, or none when a topic is bound
-- locks: the server's one for notifying transactions, at the commit
-- The setting is local to the transaction: what the connection does next commits as ever. Where there are no bindings at all, the
-- topics are not looked at.
select pg_notify(sent.channel, sent.payload), (select set_config('synchronous_commit', 'off', true) where $3)
from unnest($1::text[], $2::text[]) as sent (channel, payload)
where case
    when exists (select from {schema}.pg_queue_bindings) then
        (select cardinality({schema}.pg_queue_bound_topics($4::text[])) = 0)
    else true
end
