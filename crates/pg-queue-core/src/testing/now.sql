-- The time that the jobs' clock shows.
-- parameters: none    rows: one
select {now}
