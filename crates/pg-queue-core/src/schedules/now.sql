-- What the clock of jobs shows.
-- parameters: none    rows: one
select {now}
