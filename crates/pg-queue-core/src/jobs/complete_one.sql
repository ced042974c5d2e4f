-- Completes one job, waiting for its row if another transaction has locked it.
-- parameters: $1 id, $2 lease token    rows: the id; none when the lease is lost    index: primary key
delete from {queue} where id = $1 and lease_token = $2 returning id
