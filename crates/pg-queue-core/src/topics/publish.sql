-- Sends notifications, in their order: at the commit of the transaction, at once when there is none.
-- parameters: $1 channels, $2 payloads, $3 whether the transaction commits asynchronously    rows: one for each
-- locks: the server's one for notifying transactions, at the commit
-- The setting is local to the transaction: what the connection does next commits as ever.
select pg_notify(sent.channel, sent.payload), (select set_config('synchronous_commit', 'off', true) where $3)
from unnest($1::text[], $2::text[]) as sent (channel, payload)
