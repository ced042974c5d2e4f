-- All logs, by name, with what they hold.
-- parameters: none    rows: (name, milliseconds and bytes that are kept, bytes, segments)
select l.name, l.keep_ms, l.keep_bytes,
    coalesce(sum(pg_total_relation_size(format('%I.%I', '{schema_name}', 'log_' || l.name || '_' || s.segment))), 0)::bigint,
    count(s.segment)
from {schema}.pg_queue_logs as l
left join {schema}.pg_queue_segments as s on s.log = l.name
group by l.name
order by l.name
