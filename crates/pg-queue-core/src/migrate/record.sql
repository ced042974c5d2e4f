-- Notes that a migration was applied.
-- parameters: $1 version, $2 name, $3 checksum, $4 breaking    rows: none
insert into {schema}.pg_queue_migrations (version, name, checksum, breaking) values ($1, $2, $3, $4)
