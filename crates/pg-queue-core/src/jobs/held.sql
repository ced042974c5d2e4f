-- Which of these leases still stand. Reads only, and waits for nobody.
-- parameters: $1 ids, $2 lease tokens    rows: (id, token) of those that stand    index: primary key
-- Lateral, with a limit that keeps it so: see complete.sql.
select held.id, lease.token
from unnest($1::bigint[], $2::bigint[]) as lease (id, token)
cross join lateral (
    select found.id from {queue} as found where found.id = lease.id and found.lease_token = lease.token limit 1
) as held
