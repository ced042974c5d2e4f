-- The same, with messages that are too long for a notification.
-- parameters: $1 $2 $3 $4 as in publish.sql; $5 numbers, $6 messages as JSON
-- rows: one for each notification, or none when a topic is bound
with unbound as materialized (
    select
    where case
        when exists (select from {schema}.pg_queue_bindings) then
            (select cardinality({schema}.pg_queue_bound_topics($4::text[])) = 0)
        else true
    end
),
stored as (
    insert into {schema}.pg_queue_messages (id, body)
    select new.id, new.body::json
    from unbound
    cross join unnest($5::bigint[], $6::text[]) as new (id, body)
)
select pg_notify(sent.channel, sent.payload), (select set_config('synchronous_commit', 'off', true) where $3)
from unbound
cross join unnest($1::text[], $2::text[]) as sent (channel, payload)
