-- A sign of life from the listener's connection.
-- parameters: none    rows: one
select 1
