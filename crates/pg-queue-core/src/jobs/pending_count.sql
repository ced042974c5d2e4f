-- How many jobs wait, due or not, parked or not; running ones are not counted.
-- parameters: none    rows: one    walks the whole queue
select count(*) from {queue} where lease_token is null or lease_until < {now}
