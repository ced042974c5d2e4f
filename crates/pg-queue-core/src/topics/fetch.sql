-- Long messages.
-- parameters: $1 numbers    rows: (number, message as JSON) of those that are there    index: primary key
select id, body::text from {schema}.pg_queue_messages where id = any ($1)
