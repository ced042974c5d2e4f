-- The unfinished jobs that hold these unique keys. A statement of its own: the one that met the conflict may have too old a
-- snapshot to see the other job.
-- parameters: $1 unique keys    rows: (unique key, id) of those that are there    index: the unique one on unique_key
select held.unique_key, held.id
from unnest($1::text[]) as wanted (key)
cross join lateral (
    select job.unique_key, job.id from {queue} as job where job.unique_key = wanted.key limit 1
) as held
