-- Lengthens the lease of a hand-driven consumer, counted from now.
-- parameters: $1 id, $2 lease token, $3 microseconds    rows: the id; none when the lease is lost    index: primary key
update {queue}
set lease_until = {now} + $3 * interval '1 microsecond'
where id = $1 and lease_token = $2 and lease_worker is null
returning id
