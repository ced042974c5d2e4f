-- Takes requests back that nobody has taken yet.
-- parameters: $1 ids    rows: the ids of those    index: primary key    locks: the rows, waiting for whoever has locked them
delete from {queue} where id = any ($1) and lease_token is null returning id
