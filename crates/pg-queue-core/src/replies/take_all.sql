-- Takes replies that have come to an inbox, whoever waits for them; at most a thousand at once.
-- parameters: $1 the inbox's lowest request id, $2 its highest    rows: (request id, status, reply), each once
-- index: primary key: the first half of an id is its inbox    locks: the rows
delete from {schema}.pg_queue_replies
where request_id = any (array(
    select request_id from {schema}.pg_queue_replies where request_id between $1 and $2 limit 1000
))
returning request_id, status, body
