-- Stores a response and rings the caller's inbox. A second one to the same request replaces the first.
-- parameters: $1 request id, $2 response as JSON, $3 microseconds until it is thrown away, $4 the inbox's channel
-- rows: one    index: primary key
with stored as (
    insert into {schema}.pg_queue_replies (request_id, body, expires_at)
    values ($1, $2, now() + $3 * interval '1 microsecond')
    on conflict (request_id) do update
    set status = excluded.status, body = excluded.body, expires_at = excluded.expires_at
    returning request_id
)
select pg_notify($4, request_id::text) from stored
