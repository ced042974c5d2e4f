-- Throws away replies that nobody fetched, a bounded number at a time.
-- parameters: none    rows: none    index: pg_queue_replies_expires_at
delete from {schema}.pg_queue_replies
where request_id = any (array(
    select request_id from {schema}.pg_queue_replies
    where expires_at < now()
    order by expires_at
    limit 1000
    for update skip locked
))
