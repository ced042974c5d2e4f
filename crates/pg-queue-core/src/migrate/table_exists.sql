-- Whether the table of migrations is there.
-- parameters: $1 schema    rows: one boolean
select to_regclass(format('%I.pg_queue_migrations', $1)) is not null
