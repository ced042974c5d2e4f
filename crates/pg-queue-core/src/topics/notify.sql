-- Sends a notification: at the commit of the transaction, at once when there is none.
-- parameters: $1 channel, $2 payload    rows: one
select pg_notify($1, $2)
