-- Waits until no other transaction has these claimed jobs locked, and locks them until the end of this one.
-- parameters: $1 ids, $2 lease tokens    rows: one per lease that stands    index: primary key
select held.id
from unnest($1::bigint[], $2::bigint[]) as lease (id, token)
join {queue} as held on held.id = lease.id and held.lease_token = lease.token
order by held.id
for update of held
