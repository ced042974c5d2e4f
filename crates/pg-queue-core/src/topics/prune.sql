-- Throws away long messages that everybody has had time to fetch, a bounded number at a time.
-- parameters: none    rows: none    index: pg_queue_messages_sent_at    locks: the rows; skips those that others remove
delete from {schema}.pg_queue_messages
where id = any (array(
    select id from {schema}.pg_queue_messages
    where sent_at < now() - interval '1 minute'
    order by sent_at
    limit 100
    for update skip locked
))
