-- The jobs for which these unique keys are remembered. A statement of its own, for the reason given in find_unique.sql.
-- parameters: $1 unique keys    rows: (unique key, id) of those that are    index: the primary key
select known.key, known.job
from unnest($1::text[]) as wanted (key)
cross join lateral (
    select key, job from {schema}.pg_queue_unique_keys
    where queue = '{queue_name}' and key = wanted.key and expires_at > {now}
    limit 1
) as known
