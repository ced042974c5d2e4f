-- Whether the table of migrations is there. `create table if not exists` would need a right that its user may not have.
-- parameters: $1 schema    rows: one boolean
select to_regclass(format('%I.pg_queue_migrations', $1::text)) is not null
