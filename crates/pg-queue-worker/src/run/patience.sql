-- How long the server goes on with a statement of this connection, or transaction: one whose client has given up must not happen later,
-- nor hold a connection for ever.
-- parameters: $1 statement_timeout in ms, $2 lock_timeout in ms, as text, $3 whether for the transaction only
-- rows: one
select set_config('statement_timeout', $1, $3), set_config('lock_timeout', $2, $3)
