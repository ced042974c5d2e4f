-- Which process of the server this connection has now.
-- parameters: none    rows: one
select pg_backend_pid()
