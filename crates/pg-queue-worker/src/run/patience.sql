-- How long the server goes on with a statement of this connection: one whose client has given up must not happen later,
-- nor hold a connection for ever.
-- parameters: $1 statement_timeout in ms, $2 lock_timeout in ms, as text    rows: one
select set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false)
