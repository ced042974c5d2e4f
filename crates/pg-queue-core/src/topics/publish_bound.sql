-- Sends notifications, in their order, and makes the jobs of their messages in the queues that are bound to the topics: both or
-- neither.
-- parameters: $1 channels, $2 payloads, $3 whether the transaction commits asynchronously if no job is made, $4 numbers and
--             $5 JSON of the messages that are too long for a notification, $6 topics, $7 JSON and $8 metadata of jobs, of
--             all messages in their order
-- rows: one, with the queues that got jobs
-- locks: the server's one for notifying transactions, at the commit
-- Jobs are there to stay: with one of them the transaction commits as the connection is set up to.
with stored as (
    insert into {schema}.pg_queue_messages (id, body)
    select new.id, new.body::json from unnest($4::bigint[], $5::text[]) as new (id, body)
),
made as materialized (
    select array(
        select enqueued.queue from {schema}.pg_queue_enqueue_bound($6::text[], $7::text[], $8::text[]) as enqueued
    ) as queues
),
sent as materialized (
    select count(pg_notify(sent.channel, sent.payload)) from unnest($1::text[], $2::text[]) as sent (channel, payload)
)
select made.queues, sent.count, (select set_config('synchronous_commit', 'off', true) where $3 and cardinality(made.queues) = 0)
from made
cross join sent
