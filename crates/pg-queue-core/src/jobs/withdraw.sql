-- Takes a job back that nobody has claimed yet.
-- parameters: $1 id    rows: the id; none when it was claimed or is finished    index: primary key
delete from {queue} where id = $1 and lease_token is null returning id
