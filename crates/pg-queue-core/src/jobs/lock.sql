-- Waits until no other transaction has these claimed jobs locked, and locks them until the end of this one.
-- parameters: $1 ids, $2 lease tokens    rows: one per lease that stands    index: primary key
-- locks: the rows, in the order of their ids
-- Lateral: see complete.sql.
select held.id
from (
    select lease.id, lease.token from unnest($1::bigint[], $2::bigint[]) as lease (id, token) order by lease.id
) as lease
cross join lateral (
    select found.id from {queue} as found where found.id = lease.id and found.lease_token = lease.token for update
) as held
