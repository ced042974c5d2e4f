-- Which of these leases still stand, and which of their jobs somebody wants cancelled. Reads only, and waits for nobody.
-- parameters: $1 ids, $2 lease tokens    rows: (id, token, whether to cancel) of those that stand    index: primary key
-- Lateral, with a limit that keeps it so: see complete.sql.
select held.id, lease.token, held.cancel_requested
from unnest($1::bigint[], $2::bigint[]) as lease (id, token)
cross join lateral (
    select found.id, found.cancel_requested_at is not null as cancel_requested
    from {queue} as found
    where found.id = lease.id and found.lease_token = lease.token
    limit 1
) as held
