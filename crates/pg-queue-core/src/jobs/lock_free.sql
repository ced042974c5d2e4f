-- Locks those of these jobs that nobody else has locked, until the end of the transaction.
-- parameters: $1 ids    rows: the ids of those that it has locked
-- index: primary key    locks: the rows; skips those that another transaction has locked
-- Lateral: see complete.sql.
select held.id
from unnest($1::bigint[]) as wanted (id)
cross join lateral (
    select found.id from {queue} as found where found.id = wanted.id for update skip locked
) as held
