-- Which of these topics are bound to queues, with or without a filter.
-- parameters: $1 topics    rows: (topic) of those that are
select topic from unnest({schema}.pg_queue_bound_topics($1::text[])) as topic
