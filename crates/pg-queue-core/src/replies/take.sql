-- Takes replies that have come.
-- parameters: $1 request ids    rows: (request id, status, reply), each once    index: primary key
delete from {schema}.pg_queue_replies where request_id = any ($1) returning request_id, status, body
