-- Removes replies that came with their notifications.
-- parameters: $1 request ids    rows: none    index: primary key    locks: the rows
delete from {schema}.pg_queue_replies
where request_id = any ($1) and (select set_config('synchronous_commit', 'off', true)) is not null
